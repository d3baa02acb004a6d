"""The way from an edge device to its hub in the cloud: one link, and a connection over it for each identity."""
