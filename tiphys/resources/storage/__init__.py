"""Resources of the storage.k8s.io/v1 group, one module each."""
