"""What pods and nodes use, measured and served as metrics.k8s.io."""
