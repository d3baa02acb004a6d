"""The service API of a hub (wire-iot, chapter 4): one file per noun, and the way from a request to each."""
