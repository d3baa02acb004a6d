"""Stateful sets and daemon sets: pods with a place of their own."""
