"""Requests that are passed on: to the node of a Pod, to a Pod, to a Service.

``connect`` carries a request to another HTTP server and its answer back, also
through an upgrade; ``nodes`` knows where kubelets are; ``streams`` serves exec,
attach, port-forward and logs; ``proxies`` serves the ``proxy`` subresources.
The API server only copies: it understands none of the protocols inside.
"""

from tiphys.apiserver.relay.nodes import Nodes
from tiphys.apiserver.relay.proxies import Proxies
from tiphys.apiserver.relay.streams import Streams

__all__ = ["Nodes", "Proxies", "Streams"]
