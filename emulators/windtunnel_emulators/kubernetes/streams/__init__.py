"""Streams of exec, attach and port-forward: SPDY/3.1, WebSockets, and the bridge from an API server to a node."""
