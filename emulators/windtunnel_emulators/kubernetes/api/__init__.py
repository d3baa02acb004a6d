"""The embedded Kubernetes API server: storage, verbs, watches, discovery, per cluster."""
