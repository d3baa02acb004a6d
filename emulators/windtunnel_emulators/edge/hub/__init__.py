"""The hub of an edge device: an MQTT server for its modules and child devices, which works without the cloud."""
