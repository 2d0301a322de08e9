"""Admission: the last changes to an object, and the last refusals, before it is written.

Each plugin is one class in a module of its own or with those of the same subject (``plugin`` says what one is).
``table`` knows all names, their order, which is Kubernetes' own, and which are on; ``chain`` calls for each request
only those that care about it. Webhooks are in ``apiserver/webhooks``, policies in ``apiserver/policies``.
Source: Kubernetes docs, "Admission Control in Kubernetes".
"""

from tiphys.apiserver.admission.build import build
from tiphys.apiserver.admission.chain import Chain
from tiphys.apiserver.admission.plugin import Tools

__all__ = ["Chain", "Tools", "build"]
