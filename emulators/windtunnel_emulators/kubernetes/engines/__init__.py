"""Who serves a cluster's Kubernetes API: this process, real binaries, or kind."""
