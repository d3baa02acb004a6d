"""The workload API: what a module of an edge device asks its device for, on a socket of its own."""
