"""Cloud metadata, the token service and the managed-identity endpoint: what clients ask before they call ARM."""
