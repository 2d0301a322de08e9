"""Resources of the discovery.k8s.io/v1 group, one module each."""
