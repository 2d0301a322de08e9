"""Resources of the events.k8s.io/v1 group, one module each."""
