"""What the network of one node is told, and the names that follow from it.

Every kernel object carries ``tag``, which differs between the clusters of a host.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

_TAG_LENGTH = 8
#: Link names have at most 15 characters: two fixed, these, and the hash of a sandbox.
_LINK_TAG_LENGTH = 5
_LINK_HASH_LENGTH = 8


def tag_of(data_dir: Path) -> str:
    """Eight characters that stand for a cluster's data directory."""
    return _digest(str(data_dir.resolve()), _TAG_LENGTH)


def _digest(text: str, length: int) -> str:
    return hashlib.blake2b(text.encode()).hexdigest()[:length]


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """``tag`` has at most eight characters, of which the first five must differ too.

    ``state_dir`` survives restarts of the process.
    """

    tag: str
    state_dir: Path
    #: The Pod addresses of all nodes: what stays within it is not masqueraded.
    cluster_cidr: str = "10.244.0.0/16"
    #: Service addresses get a route, so that a host without a default route reaches them; empty for none.
    service_cidr: str = "10.96.0.0/16"
    #: 0 takes the MTU of the link with the default route.
    mtu: int = 0

    def __post_init__(self) -> None:
        if not 0 < len(self.tag) <= _TAG_LENGTH:
            raise ValueError(f"tag {self.tag!r} must have 1 to {_TAG_LENGTH} characters")

    @property
    def bridge(self) -> str:
        return self.port_prefix

    @property
    def table_prefix(self) -> str:
        """What the nftables tables of this cluster begin with, those of its proxy too."""
        return f"tiphys-{self.tag}-"

    @property
    def table(self) -> str:
        return self.table_prefix + "network"

    @property
    def port_prefix(self) -> str:
        """What the bridge is called, and the host's ends of Pod links begin with."""
        return f"tp{self.tag[:_LINK_TAG_LENGTH]}"

    def port(self, sandbox_id: str) -> str:
        """The host's end of a sandbox's link."""
        return self.port_prefix + _digest(sandbox_id, _LINK_HASH_LENGTH)

    def mac(self, text: str) -> bytes:
        """A locally administered MAC address that belongs to ``text``."""
        return b"\x02" + hashlib.blake2b(f"{self.tag}/{text}".encode(), digest_size=5).digest()
