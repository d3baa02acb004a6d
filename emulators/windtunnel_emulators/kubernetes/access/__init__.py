"""Who may do what on the embedded Kubernetes API, and what admission makes of it."""
