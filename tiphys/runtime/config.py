"""What the runtime of one node is told."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RuntimeConfig:
    """``tag`` tells the clusters of a host apart: it is in the names of their cgroups."""

    tag: str
    #: Images, sandboxes and containers.
    data: Path
    #: Pinned namespaces and shared memory; mounts appear below it.
    run: Path
    spawner_socket: Path
    socket: Path
    #: Most processes of one container that sets no limit; 0 for no limit.
    pids_limit: int = 0

    @property
    def cgroup_root(self) -> str:
        return f"/tiphys-{self.tag}"
