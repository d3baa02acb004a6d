"""The router: what stands in front of all Azure ML services of one Kubernetes cluster, as ``azureml-fe`` did."""
