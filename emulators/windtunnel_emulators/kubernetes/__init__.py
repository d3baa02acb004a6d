"""Kubernetes, as the clusters of AKS need it: an API, what works behind it, and the engines that bring either."""
