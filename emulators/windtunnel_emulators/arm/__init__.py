"""Azure Resource Manager's front door: ids, providers, long-running operations, errors."""
