"""Azure Container Registry's data plane: content-addressed storage, the OCI distribution API, its tokens."""
