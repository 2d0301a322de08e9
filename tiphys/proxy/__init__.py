"""Name: proxy. Service addresses of a cluster on one node, by nftables rules.

Watches: Service, EndpointSlice, and the node's own Node (its zone).
Writes: one nftables table; nothing in the API.
Listens: health check node ports.
Metrics: see ``metrics``.

In reading order: ``services`` (the proxy's view of objects), ``choice`` (which
endpoints), ``desired`` (rules of one Service), ``skeleton`` (rules around them),
``ruleset`` (differences as transactions), ``stale`` (UDP flows to forget),
``loop`` and ``kernel`` (the edge), ``health``.
Source: Kubernetes docs, "Virtual IPs and Service Proxies"; KEP-3866 nftables.
"""

from tiphys.proxy.config import ProxyConfig
from tiphys.proxy.loop import Proxy

__all__ = ["Proxy", "ProxyConfig"]
