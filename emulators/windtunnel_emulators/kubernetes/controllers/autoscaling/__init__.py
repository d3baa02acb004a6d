"""Horizontal pod autoscaling, API version 2."""
