"""Resources of the scheduling.k8s.io/v1 group, one module each."""
