"""What the runtime says of one Pod, as plain values: the worker and the status see these and no CRI messages.

Times are nanoseconds since the epoch as CRI has them, 0 where it has none.
"""

from dataclasses import dataclass
from typing import Literal

ContainerStateName = Literal["created", "running", "exited", "unknown"]
ContainerKind = Literal["init", "app", "ephemeral"]

#: States of one container only move to the right; an older answer that arrives later changes nothing.
_ORDER: dict[ContainerStateName, int] = {"unknown": 0, "created": 1, "running": 2, "exited": 3}


@dataclass(frozen=True, slots=True)
class ContainerFact:
    """One container in the runtime, dead or alive. ``attempt`` counts restarts of its name."""

    id: str
    name: str
    sandbox_id: str
    state: ContainerStateName
    attempt: int = 0
    created_at: int = 0
    started_at: int = 0
    finished_at: int = 0
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    image: str = ""
    image_id: str = ""
    #: What of the container's spec it was made from; differs when the spec has changed since.
    hash: str = ""
    #: uid, gid and supplementary groups of its first process, where the runtime tells.
    user: tuple[int, int, tuple[int, ...]] | None = None

    def newer(self, other: "ContainerFact") -> "ContainerFact":
        """The one of both that is further along; this one if they are equal."""
        return other if _ORDER[other.state] > _ORDER[self.state] else self


@dataclass(frozen=True, slots=True)
class SandboxFact:
    """One sandbox of the Pod. ``ips`` is empty for host network."""

    id: str
    ready: bool
    attempt: int = 0
    created_at: int = 0
    ips: tuple[str, ...] = ()
    host_network: bool = False


@dataclass(frozen=True, slots=True)
class PodFact:
    """All that the runtime has of one Pod."""

    uid: str
    namespace: str
    name: str
    sandboxes: tuple[SandboxFact, ...] = ()
    containers: tuple[ContainerFact, ...] = ()

    @property
    def sandbox(self) -> SandboxFact | None:
        """The newest."""
        return max(self.sandboxes, key=lambda s: (s.attempt, s.created_at), default=None)

    def of(self, name: str) -> list[ContainerFact]:
        """Containers of that name, newest first."""
        found = [c for c in self.containers if c.name == name]
        return sorted(found, key=lambda c: (c.attempt, c.created_at), reverse=True)
