"""Deployment manifests: what an edge device shall run. The agent reads them, the service checks them."""
