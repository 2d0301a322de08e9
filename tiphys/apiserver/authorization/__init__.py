"""May they. ``chain`` asks the authorizers one after the other; each has a module of its own.

Read in this order: ``refusal`` (the sentence), ``chain``, ``simple`` (always,
never, masters), ``node`` with ``graph``, ``abac``, ``webhook`` with ``conditions``,
``configuration`` (modes, flags, file). RBAC is ``tiphys.apiserver.rbac``.
Source: Kubernetes docs, "Authorization".
"""

from tiphys.apiserver.authorization.chain import Union
from tiphys.apiserver.authorization.graph import NODE_LEASES, node_name_of
from tiphys.apiserver.authorization.node import NodeAuthorizer

__all__ = ["NODE_LEASES", "NodeAuthorizer", "Union", "node_name_of"]
