"""Admission: the last changes to an object, and the last refusals, before it is written.

Each plugin is one module with one class. ``chain`` knows their order, which is
Kubernetes' own, and calls for each request only those that care about it.
Source: Kubernetes docs, "Admission Control in Kubernetes".
"""

from tiphys.apiserver.admission.chain import Chain, plugins

__all__ = ["Chain", "plugins"]
