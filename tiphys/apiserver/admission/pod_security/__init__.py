"""PodSecurity: the Pod Security Standards, by labels of a Namespace.

``policy`` reads labels, ``baseline`` and ``restricted`` hold one function per check, ``checks`` knows from which
version on each holds, ``plugin`` asks them.
Source: Kubernetes docs, "Pod Security Standards" and "Pod Security Admission".
"""

from tiphys.apiserver.admission.pod_security.plugin import PodSecurity

__all__ = ["PodSecurity"]
