"""What is served besides the built-in resources, and by whom.

``catalog`` knows all served groups and versions, whoever serves them, and is
what discovery and OpenAPI are made from; ``priorities`` orders them.
Source: Kubernetes docs, "Kubernetes API Aggregation Layer"; KEP-3352.
"""
