"""The blob service: containers, block blobs and append blobs, as azure-storage-blob asks for them."""
