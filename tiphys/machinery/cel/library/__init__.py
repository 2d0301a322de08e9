"""Functions of expressions, one module per library as Kubernetes' documentation lists them. Each has ``ROWS``."""
