"""tiphys: Kubernetes in one package."""

__version__ = "0.1.0"
KUBERNETES_VERSION = "1.36.0"
