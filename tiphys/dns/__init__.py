"""Name: dns. The cluster's name server: Services and Pods by name, other names by forwarding.

Watches: Service, EndpointSlice, Namespace.
Writes: nothing.
Listens: UDP and TCP, port 53 of the bridge's address.
Metrics: see ``metrics``.

In reading order: ``records`` (of one Service), ``zone`` (prebuilt answers),
``loop`` (questions), ``forward``, ``cache`` and ``upstream`` (other names),
``server`` (sockets). Messages are in ``tiphys.wire.dns``.
Source: Kubernetes DNS-Based Service Discovery, schema version 1.1.0.
"""

from tiphys.dns.config import DnsConfig
from tiphys.dns.loop import Dns

__all__ = ["Dns", "DnsConfig"]
