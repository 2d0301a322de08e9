"""OpenAPI v2 and v3: what clients explain, validate and merge by.

Documents are made when asked for, from the catalog of what is served (``paths``),
from the schemas that the package ``kubernetes-validate`` ships (``schemas``) and
from those of definitions (``custom``), and kept as bytes until their group
changes. ``serve`` answers.
Source: Kubernetes docs, "The Kubernetes API", "OpenAPI interface definition";
KEP-2896 OpenAPI v3.
"""

from tiphys.apiserver.openapi.serve import OpenApi

__all__ = ["OpenApi"]
