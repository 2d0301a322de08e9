"""Resources of the networking.k8s.io/v1 group, one module each."""
