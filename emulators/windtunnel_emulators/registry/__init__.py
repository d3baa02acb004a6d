"""Azure Container Registry's data plane: the OCI distribution API, Azure's own, its tokens, and what is kept."""
