"""What the worker keeps of a resize: asked for, granted, told to the runtime. Pure; part of the worker's brain.

Source: KEP-1287 In-place Update of Pod Resources.
"""

from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field

from tiphys.api import core_v1
from tiphys.kubelet import resize, restart
from tiphys.kubelet.attempts import RETRY_SECONDS
from tiphys.kubelet.facts import ContainerFact
from tiphys.kubelet.protocol import Emit, Instruction, ResizeContainer, ResizeDone

#: The running container of a name, if there is one.
Live = Callable[[str], ContainerFact | None]


@dataclass(slots=True)
class Resizing:
    """Of one Pod."""

    #: Why the desired size is not granted yet.
    pending: resize.Refusal | None = None
    #: By container name: what the runtime was told last.
    actuated: dict[str, core_v1.ResourceRequirements] = field(default_factory=dict)
    #: Containers that are made anew for their size.
    remade: set[str] = field(default_factory=set)
    #: Ids of those that the runtime is being told of.
    _telling: set[str] = field(default_factory=set)
    _error: str = ""
    _retry_at: float = 0.0
    #: Whether the beginning was said, and the end was not.
    _told: bool = False

    def judged(self, refusal: resize.Refusal | None, desired: core_v1.Pod, out: list[Instruction]) -> bool:
        """Whether the node grants what ``desired`` asks for."""
        if refusal is None:
            self.pending = None
            self._error = ""
            self._retry_at = 0.0
            return True
        if refusal != self.pending:
            self.pending = refusal
            text = resize.event_text(refusal.word, desired, refusal.message)
            out.append(Emit("Warning", f"Resize{refusal.reason}", text))
        return False

    def done(self, event: ResizeDone, pod: core_v1.Pod, now: float, out: list[Instruction]) -> None:
        """The runtime has answered."""
        self._telling.discard(event.container_id)
        if not event.error:
            self.actuated[event.name] = event.resources
            return
        if event.error != self._error:
            out.append(Emit("Warning", "ResizeError", resize.event_text("error", pod, event.error)))
        self._error = event.error
        self._retry_at = now + RETRY_SECONDS

    def next(
        self,
        pod: core_v1.Pod,
        live: Live,
        killing: Container[str],
        now: float,
        wakes: list[float],
        out: list[Instruction],
    ) -> Iterator[ContainerFact]:
        """Tell the runtime of the next sizes; yields containers that must be killed to get theirs."""
        behind = self._behind(pod, live)
        if behind and not self._told:
            self._told = True
            out.append(Emit("Normal", "ResizeStarted", resize.event_text("started", pod)))
        for fact in behind:
            container = restart.find_container(pod, fact.name)
            if container is None or fact.id in killing or fact.id in self._telling:
                continue
            if resize.needs_restart(container, self.actuated.get(fact.name, container.resources)):
                self.remade.add(fact.name)
                yield fact
            elif now < self._retry_at:
                wakes.append(self._retry_at)
            else:
                self._telling.add(fact.id)
                out.append(ResizeContainer(fact.id, fact.name, container.resources))

    def complete(self, pod: core_v1.Pod, live: Live, out: list[Instruction]) -> None:
        """Say so once all have the size that was granted."""
        if self._told and not self.remade and not self._behind(pod, live):
            self._told = False
            self._error = ""
            out.append(Emit("Normal", "ResizeCompleted", resize.event_text("completed", pod)))

    def _behind(self, pod: core_v1.Pod, live: Live) -> list[ContainerFact]:
        """Running containers whose size is not the one that was granted."""
        found = []
        for kind, container in restart.containers_of(pod):
            known, fact = self.actuated.get(container.name), live(container.name)
            if known is None or fact is None or kind == "ephemeral" or resize.same(known, container.resources):
                continue
            found.append(fact)
        return found

    def progress(self, pod: core_v1.Pod) -> resize.Progress:
        """What the status tells."""
        names = {c.name: c.resources for _, c in restart.containers_of(pod)}
        actuated = {n: r for n, r in self.actuated.items() if n in names and not resize.same(r, names[n])}
        return resize.Progress(self.pending, self._told, self._error, actuated)
