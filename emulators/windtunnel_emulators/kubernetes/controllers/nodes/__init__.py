"""Nodes: whether they live, and what becomes of their pods."""
