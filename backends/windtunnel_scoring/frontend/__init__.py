"""The front end: the sidecar of a container group that checks keys and speaks TLS for the scoring container."""
