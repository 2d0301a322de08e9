"""What a cluster has before anybody has asked for it, written and repaired at every start.

Namespaces first, then all else at once, so that it shares commits. Objects that
are there and as they should be are left alone: a second start writes nothing.
Roles get back rules that they lost, bindings subjects that they lost, unless the
object says ``autoupdate: "false"``; what was added to them stays.
Source: Kubernetes docs, "Using RBAC Authorization", "Auto-reconciliation".
"""

from tiphys.apiserver.bootstrap.reconcile import bootstrap

__all__ = ["bootstrap"]
