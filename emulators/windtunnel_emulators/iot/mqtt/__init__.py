"""MQTT 3.1.1 on the wire, for a server that is no broker: packets, their reading and writing, one connection.

``reading`` and ``writing`` know both directions, so that clients (the edge's upstream, benchmarks) can use them too.
"""
