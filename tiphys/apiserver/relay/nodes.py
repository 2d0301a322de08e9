"""Where kubelets are and how to trust them.

Kubelets are reached at their Node's address; their certificate must come from
the cluster's CA and name the node, so that an address that has moved to another
machine does not get the API server's requests.
"""

import ssl
from functools import cached_property
from typing import Any, Final

from tiphys.apiserver.relay.connect import Peer
from tiphys.apiserver.seams import Objects
from tiphys.machinery import errors

KUBELET_PORT: Final = 10250
ADDRESS_TYPES: Final = ("InternalIP", "ExternalIP", "Hostname", "InternalDNS", "ExternalDNS")


class Nodes:
    """Finds the kubelet of a node."""

    def __init__(self, objects: Objects, ca: str, certificate: str, key: str) -> None:
        self._objects = objects
        self._ca = ca
        self._certificate = certificate
        self._key = key

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self._ca)
        if self._certificate:
            context.load_cert_chain(self._certificate, self._key)
        return context

    def kubelet(self, name: str) -> Peer:
        """Raises NotFound, or InternalError if the node has no address."""
        node = self._objects.find("", "nodes", "", name)
        if node is None:
            raise errors.NotFound("nodes", name)
        address = _address(node)
        if not address:
            raise errors.InternalError(f"no preferred addresses found; known addresses: {_known(node)}")
        endpoints = node.status.daemonEndpoints
        endpoint = endpoints.kubeletEndpoint if endpoints is not None else None
        port = (endpoint.Port if endpoint is not None else 0) or KUBELET_PORT
        return Peer(address, port, self._tls if self._ca else None, name)


def _address(node: Any) -> str:
    found = {one.type: one.address for one in reversed(node.status.addresses or ())}
    return next((found[kind] for kind in ADDRESS_TYPES if found.get(kind)), "")


def _known(node: Any) -> str:
    return "[" + " ".join(one.type for one in node.status.addresses or ()) + "]"
