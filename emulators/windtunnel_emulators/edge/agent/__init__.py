"""The agent of an edge device: it makes what runs on the device what the deployment says, and reports what is so."""
