"""Replica sets and replication controllers: so many pods of one template."""
