"""IoT: the hub as device and service clients see it, and the protocol that the edge shares with it.

Nothing here is imported before the first hub exists.
"""
