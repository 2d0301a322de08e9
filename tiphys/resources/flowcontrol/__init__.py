"""Resources of the flowcontrol.apiserver.k8s.io/v1 group, one module each."""
