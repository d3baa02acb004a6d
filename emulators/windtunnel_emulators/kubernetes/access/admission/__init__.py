"""Admission of the embedded API: one module per plugin of the real server, and the chain of them."""
