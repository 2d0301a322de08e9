"""What the proxy of one node is told."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProxyConfig:
    """``tag`` tells the clusters of a host apart; it is the network's."""

    tag: str
    node_name: str
    #: Pod addresses of the whole cluster: who is not in it is masqueraded on the way to a service address.
    cluster_cidr: str = "10.244.0.0/16"
    service_cidr: str = "10.96.0.0/16"
    #: Bit of the packet mark that asks for masquerading, the same as kube-proxy's.
    masquerade_bit: int = 14
    #: Seconds before rules that the kernel refused are written anew.
    retry_seconds: float = 1.0

    @property
    def table(self) -> str:
        return f"tiphys-{self.tag}-proxy"

    @property
    def mark(self) -> int:
        return 1 << self.masquerade_bit
