"""The controllers of a cluster: each a client of its API, with a pure function that says what to do."""
