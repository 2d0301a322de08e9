"""Resources of the authentication.k8s.io/v1 group, one module each."""
