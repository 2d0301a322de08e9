"""What the runtime is given from outside: the network of its sandboxes."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class PortMapping(NamedTuple):
    """A host port that leads to a container's."""

    protocol: str
    container_port: int
    host_port: int
    host_ip: str


class SandboxNetwork(Protocol):
    """Links sandboxes' network namespaces to the world. All calls may be repeated."""

    async def configure(self, pod_cidr: str) -> None:
        """Learn this node's range of Pod addresses. Raises ValueError, OSError."""

    async def add(
        self, sandbox_id: str, netns_path: str, hostname: str, port_mappings: Sequence[PortMapping]
    ) -> list[str]:
        """Link a namespace; its addresses. Raises OSError, and leaves nothing then."""

    async def remove(self, sandbox_id: str, netns_path: str) -> None:
        """Unlink a namespace and free its addresses."""

    def status(self) -> tuple[bool, str, str]:
        """Whether sandboxes can be linked; a reason and a message where not."""

    async def close(self) -> None:
        """Free what the process holds; links stay."""


class NoNetwork:
    """Every sandbox has its loopback and nothing else."""

    async def configure(self, pod_cidr: str) -> None:
        return

    async def add(
        self, sandbox_id: str, netns_path: str, hostname: str, port_mappings: Sequence[PortMapping]
    ) -> list[str]:
        return ["127.0.0.1"]

    async def remove(self, sandbox_id: str, netns_path: str) -> None:
        return

    def status(self) -> tuple[bool, str, str]:
        return True, "", ""

    async def close(self) -> None:
        return
