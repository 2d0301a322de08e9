"""OpenAPI v2 and v3: what clients explain, validate and merge by.

Documents are made when first asked for, from the resource table (``paths``) and
from the schemas that the package ``kubernetes-validate`` ships (``schemas``),
and kept as bytes. ``serve`` answers.
Source: Kubernetes docs, "The Kubernetes API", "OpenAPI interface definition";
KEP-2896 OpenAPI v3.
"""

from tiphys.apiserver.openapi.serve import OpenApi

__all__ = ["OpenApi"]
