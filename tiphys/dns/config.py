"""What the cluster's name server is told."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class DnsConfig:
    """``listen``: (address, port) pairs; addresses may appear on the host later."""

    listen: tuple[tuple[str, int], ...]
    cluster_domain: str = "cluster.local"
    #: kubeadm's; CoreDNS itself defaults to 5.
    ttl_seconds: int = 30
    #: Other names go to its name servers, except to those that are this server.
    resolv_conf: Path = Path("/etc/resolv.conf")
    forward_timeout_seconds: float = 2.0
    forward_attempts: int = 2
    #: How long a name server that has not answered twice in a row is not asked.
    forward_down_seconds: float = 5.0
    forward_concurrent: int = 1000
    cache_entries: int = 2000
    cache_seconds: int = 30
    tcp_idle_seconds: float = 10.0
    tcp_connections: int = 256
