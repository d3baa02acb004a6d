"""AMQP 1.0 of an IoT hub: the built-in Event Hubs-compatible endpoint, messages to devices, and feedback on them.

The protocol is Qpid Proton's engine, which has no sockets of its own: bytes in, bytes out. Ours are the socket, the
SASL layer (IoT Hub's clients want a mechanism that Proton has not), and what the links mean.
"""
