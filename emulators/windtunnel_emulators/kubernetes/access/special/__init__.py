"""Subresources and resources that do something instead of keeping what they are sent."""
