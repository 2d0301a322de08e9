"""Addresses, links, routes and packet rules of a node's Pods.

In reading order: ``config`` (names), ``bridge`` (links of sandboxes),
``addresses`` (who holds which), ``rules`` (masquerade, host ports), ``ranges``
(a free address range for a new cluster), ``probe`` (what this kernel can do),
``namespaces`` and ``sockets`` (the edge to the kernel).
"""

from tiphys.network.bridge import Bridge
from tiphys.network.config import NetworkConfig, tag_of

__all__ = ["Bridge", "NetworkConfig", "tag_of"]
