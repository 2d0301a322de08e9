"""Workloads of Kubernetes' conformance list on a real cluster; docs/conformance-node.md says which entry is shown where."""
