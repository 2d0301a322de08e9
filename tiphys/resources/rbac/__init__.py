"""Resources of the rbac.authorization.k8s.io/v1 group, one module each."""
