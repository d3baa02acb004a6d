"""The images of an edge device's modules: pulled from their registries by the wire, kept for when it is offline."""
