"""Container images: the Dockerfile's subset, building without Docker, unpacking, Python environments, known bases."""
