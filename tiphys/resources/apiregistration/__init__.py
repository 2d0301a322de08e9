"""Resources of the apiregistration.k8s.io/v1 group, one module each."""
