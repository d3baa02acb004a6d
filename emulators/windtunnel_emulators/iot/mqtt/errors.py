"""What can be wrong with what a peer sends.

MqttProblem
+-- MalformedPacket       bytes that are no packet of MQTT 3.1.1
+-- PacketTooLarge        a packet that announces more bytes than are taken
+-- UnsupportedProtocol   a CONNECT of another protocol or version
+-- ProtocolViolation     a packet that may not come now, or asks for what is not offered
"""

from __future__ import annotations


class MqttProblem(Exception):
    """The connection has to end; the message says why, for the log."""


class MalformedPacket(MqttProblem):
    """Bytes that are no packet of MQTT 3.1.1."""


class PacketTooLarge(MqttProblem):
    """A packet that announces more bytes than are taken."""


class UnsupportedProtocol(MqttProblem):
    """A CONNECT of another protocol or version."""


class ProtocolViolation(MqttProblem):
    """A packet that may not come now, or asks for what is not offered."""
