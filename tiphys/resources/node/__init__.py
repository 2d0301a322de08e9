"""Resources of the node.k8s.io/v1 group, one module each."""
