"""Garbage collection: what belonged to something that is gone, goes."""
