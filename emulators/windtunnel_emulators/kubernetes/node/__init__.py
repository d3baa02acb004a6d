"""A node of a cluster: registers itself, runs the pods that are bound to it, and answers as a kubelet does."""
