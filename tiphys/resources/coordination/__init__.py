"""Resources of the coordination.k8s.io/v1 group, one module each."""
