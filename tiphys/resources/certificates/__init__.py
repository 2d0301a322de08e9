"""Resources of the certificates.k8s.io/v1 group, one module each."""
