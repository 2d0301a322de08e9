"""Decides what the supervisor starts and when; events in, instructions out, no I/O.

See the package for the states. Times are monotonic seconds that the caller gives.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

State = Literal["waiting", "starting", "ready", "backoff", "stopping", "stopped"]

BACKOFF_SECONDS_MIN = 0.1
BACKOFF_SECONDS_MAX = 10.0
#: A component that has run this long starts over with the shortest pause.
STEADY_SECONDS = 30.0


@dataclass(frozen=True)
class Start:
    """Fork this component now."""

    name: str


@dataclass(frozen=True)
class Stop:
    """Ask this component's process to end."""

    name: str
    pid: int


Instruction = Start | Stop


@dataclass
class Component:
    """What is known of one component. ``pid`` is set exactly while a process exists."""

    name: str
    after: tuple[str, ...] = ()
    state: State = "waiting"
    pid: int | None = None
    restarts: int = 0
    started_at: float = 0.0
    #: When the pause of ``backoff`` is over.
    resume_at: float = 0.0
    #: Consecutive early ends; sets the length of the pause.
    failures: int = 0
    #: Why it last ended, for people.
    last_error: str = ""


def pause_seconds(failures: int) -> float:
    """Before the next start after ``failures`` early ends in a row: 0.1, doubling up to 10."""
    return min(BACKOFF_SECONDS_MAX, BACKOFF_SECONDS_MIN * 2.0 ** (failures - 1))


@dataclass
class Plan:
    """All components of a cluster. Names in ``order`` stop last to first."""

    components: Mapping[str, Component]
    stopping: bool = False
    order: Sequence[str] = field(init=False)

    def __post_init__(self) -> None:
        self.order = list(self.components)

    @property
    def ready(self) -> bool:
        return all(component.state == "ready" for component in self.components.values())

    @property
    def stopped(self) -> bool:
        return all(component.state == "stopped" for component in self.components.values())

    def begin(self, now: float) -> list[Instruction]:
        return self._startable(now)

    def started(self, name: str, pid: int, now: float) -> list[Instruction]:
        component = self.components[name]
        component.pid = pid
        component.state = "starting"
        component.started_at = now
        return []

    def reported_ready(self, name: str, now: float) -> list[Instruction]:
        component = self.components[name]
        if component.state == "starting":
            component.state = "ready"
            component.last_error = ""
        return self._startable(now)

    def ended(self, name: str, reason: str, now: float) -> list[Instruction]:
        component = self.components[name]
        component.pid = None
        if self.stopping:
            component.state = "stopped"
            return self._stop_next()
        steady = now - component.started_at >= STEADY_SECONDS
        component.failures = 1 if steady else component.failures + 1
        component.restarts += 1
        component.last_error = reason
        component.state = "backoff"
        component.resume_at = now + pause_seconds(component.failures)
        return []

    def tick(self, now: float) -> list[Instruction]:
        """Call it when ``next_tick`` is reached."""
        return self._startable(now)

    def next_tick(self) -> float | None:
        """When a pause ends, or None if none runs."""
        pauses = [c.resume_at for c in self.components.values() if c.state == "backoff"]
        return min(pauses, default=None)

    def stop(self) -> list[Instruction]:
        """End everything, last started first, one after another."""
        self.stopping = True
        for component in self.components.values():
            if component.pid is None:
                component.state = "stopped"
        return self._stop_next()

    def _stop_next(self) -> list[Instruction]:
        for name in reversed(self.order):
            component = self.components[name]
            if component.state == "stopping":
                return []
            if component.pid is not None:
                component.state = "stopping"
                return [Stop(name, component.pid)]
        return []

    def _startable(self, now: float) -> list[Instruction]:
        if self.stopping:
            return []
        starts: list[Instruction] = []
        for component in self.components.values():
            due = component.state == "waiting" or (component.state == "backoff" and component.resume_at <= now)
            if due and all(self.components[name].state == "ready" for name in component.after):
                component.state = "starting"
                starts.append(Start(component.name))
        return starts
