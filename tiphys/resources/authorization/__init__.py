"""Resources of the authorization.k8s.io/v1 group, one module each."""
