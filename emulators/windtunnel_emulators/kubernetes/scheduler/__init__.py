"""The scheduler: finds each pod a node, with the reasons and the words of kube-scheduler 1.34."""
