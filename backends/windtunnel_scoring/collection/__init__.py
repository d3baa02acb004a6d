"""Model data collection: inputs and predictions as CSV, in a folder or in blob storage. Off unless it is asked for."""
