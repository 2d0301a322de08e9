"""What a Pod's worker is told and what it asks for: events in, instructions out.

Whoever carries out an instruction answers it with the event that its docstring
or its name suggests, also when it failed.
"""

from dataclasses import dataclass
from typing import Literal

from tiphys.api import core_v1
from tiphys.kubelet.facts import PodFact
from tiphys.kubelet.resize import Refusal

ProbeKind = Literal["startup", "readiness", "liveness"]


# Events


@dataclass(frozen=True, slots=True)
class Updated:
    """The Pod as the API has it now."""

    pod: core_v1.Pod


@dataclass(frozen=True, slots=True)
class Removed:
    """The API has it no more, though it may still run here."""


@dataclass(frozen=True, slots=True)
class Admitted:
    pass


@dataclass(frozen=True, slots=True)
class Rejected:
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Observed:
    """What the runtime has. ``complete``: what is not in it did not exist at ``asked_at`` (nanoseconds)."""

    facts: PodFact
    complete: bool = False
    asked_at: int = 0


@dataclass(frozen=True, slots=True)
class VolumesReady:
    pass


@dataclass(frozen=True, slots=True)
class VolumesFailed:
    message: str


@dataclass(frozen=True, slots=True)
class SandboxDone:
    """An attempt to make a sandbox is over; ``error`` is empty if it succeeded."""

    error: str = ""


@dataclass(frozen=True, slots=True)
class StartDone:
    """An attempt to start a container is over. ``error`` is reason and message."""

    name: str
    error: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class KillDone:
    container_id: str


@dataclass(frozen=True, slots=True)
class ContainerGone:
    """The runtime has it no more."""

    container_id: str


@dataclass(frozen=True, slots=True)
class SandboxStopped:
    sandbox_id: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class CleanedUp:
    removed: bool


@dataclass(frozen=True, slots=True)
class Finalized:
    """The Pod is out of the API."""


@dataclass(frozen=True, slots=True)
class ProbeTurned:
    """A probe's verdict changed: it passed its success or its failure threshold."""

    container_id: str
    kind: ProbeKind
    passing: bool


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed, or something that was missing may be there now."""

    retry: bool = False


@dataclass(frozen=True, slots=True)
class ResizeJudged:
    """Whether the node grants the size that the spec asks for: None, or why not yet."""

    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True)
class ResizeDone:
    """A running container has its new size; ``error`` is empty if it succeeded."""

    container_id: str
    name: str
    resources: core_v1.ResourceRequirements
    error: str = ""


Event = (
    Updated
    | Removed
    | Admitted
    | Rejected
    | Observed
    | VolumesReady
    | VolumesFailed
    | SandboxDone
    | StartDone
    | KillDone
    | ContainerGone
    | SandboxStopped
    | CleanedUp
    | Finalized
    | ProbeTurned
    | Tick
    | ResizeJudged
    | ResizeDone
)


# Instructions


@dataclass(frozen=True, slots=True)
class PrepareVolumes:
    pass


@dataclass(frozen=True, slots=True)
class RunSandbox:
    attempt: int


@dataclass(frozen=True, slots=True)
class StartContainer:
    """Pull its image if needed, create it, start it, run its postStart hook."""

    name: str
    attempt: int


@dataclass(frozen=True, slots=True)
class CancelStart:
    """Do not wait for the image any longer."""

    name: str


@dataclass(frozen=True, slots=True)
class KillContainer:
    """Run its preStop hook, then TERM, then KILL when ``grace_seconds`` are over. A second one only shortens."""

    container_id: str
    name: str
    grace_seconds: float
    hook: bool = True


@dataclass(frozen=True, slots=True)
class RemoveContainers:
    container_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StopSandbox:
    sandbox_id: str


@dataclass(frozen=True, slots=True)
class Cleanup:
    """Unmount volumes; with ``remove`` also remove sandboxes, containers, logs and directories."""

    remove: bool


@dataclass(frozen=True, slots=True)
class StartProbe:
    container_id: str
    name: str
    kind: ProbeKind
    started_at: int
    #: The verdict it begins with.
    passing: bool


@dataclass(frozen=True, slots=True)
class StopProbes:
    container_id: str
    kinds: tuple[ProbeKind, ...]


@dataclass(frozen=True, slots=True)
class Report:
    status: core_v1.PodStatus


@dataclass(frozen=True, slots=True)
class Finalize:
    """Write this last status, then delete the Pod from the API."""

    status: core_v1.PodStatus


@dataclass(frozen=True, slots=True)
class Forget:
    """Nothing of the Pod is left; drop the worker."""


@dataclass(frozen=True, slots=True)
class Emit:
    """An Event about the Pod, or about its container ``name``."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Wake:
    """Send a Tick at this instant (seconds since the epoch); replaces an earlier Wake."""

    at: float


@dataclass(frozen=True, slots=True)
class ResizeContainer:
    """Give a running container these resources."""

    container_id: str
    name: str
    resources: core_v1.ResourceRequirements


Instruction = (
    PrepareVolumes
    | RunSandbox
    | StartContainer
    | CancelStart
    | KillContainer
    | RemoveContainers
    | StopSandbox
    | Cleanup
    | StartProbe
    | StopProbes
    | Report
    | Finalize
    | Forget
    | Emit
    | Wake
    | ResizeContainer
)
