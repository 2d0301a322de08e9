"""What Simulations say of which Pods and nodes. Pure.

Several may speak of one container: the one with the higher ``priority`` wins, field by field; among equals the
name that sorts first.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

import msgspec

from tiphys.api import core_v1, meta_v1
from tiphys.machinery import times
from tiphys.machinery.selectors import Selector, from_label_selector
from tiphys.simulation import behaviour

GROUP: Final = "sim.tiphys.dev"
VERSION: Final = "v1"
KIND: Final = "Simulation"
PLURAL: Final = "simulations"

#: Fields of ``spec.pods``, and the annotation that says the same.
FIELDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "startSeconds": "start-seconds",
        "runSeconds": "run-seconds",
        "exitCodes": "exit-code",
        "readyAfterSeconds": "ready-after-seconds",
        "unreadyAfterSeconds": "unready-after-seconds",
        "unhealthyAfterSeconds": "unhealthy-after-seconds",
        "stopSeconds": "stop-seconds",
        "fail": "fail",
        "cpu": "cpu",
        "memory": "memory",
        "log": "log",
        "logEverySeconds": "log-every-seconds",
    }
)


class Meta(msgspec.Struct, kw_only=True):
    name: str = ""
    namespace: str = ""
    resourceVersion: str = ""
    generation: int = 0
    creationTimestamp: str = ""


class Failure(msgspec.Struct, kw_only=True):
    afterSeconds: float = 0.0
    forSeconds: float | None = None


class OfNodes(msgspec.Struct, kw_only=True):
    selector: meta_v1.LabelSelector | None = None
    failures: list[Failure] = []


class Spec(msgspec.Struct, kw_only=True):
    priority: int = 0
    pods: dict[str, Any] | None = None
    nodes: OfNodes | None = None


class Status(msgspec.Struct, kw_only=True):
    observedGeneration: int = 0
    matchingPods: int = 0
    matchingNodes: int = 0
    failedNodes: int = 0
    message: str = ""


class SimulationView(msgspec.Struct, kw_only=True):
    """A Simulation, as far as it concerns us."""

    metadata: Meta
    spec: Spec = msgspec.field(default_factory=Spec)
    status: Status = msgspec.field(default_factory=Status)


class Simulation:
    """One, read once and asked often."""

    def __init__(self, view: SimulationView) -> None:
        self.view = view
        self.name = view.metadata.name
        pods = view.spec.pods
        self._of_pods = pods is not None
        pods = pods or {}
        self._pods = _selector(msgspec.convert(pods.get("selector"), meta_v1.LabelSelector | None))
        self._namespaces = frozenset(pods.get("namespaces") or ())
        self._containers = frozenset(pods.get("containers") or ())
        said = {FIELDS[field]: _text(value) for field, value in pods.items() if field in FIELDS}
        wrong = {name: behaviour.problem(name, text) for name, text in said.items()}
        #: By the names of annotations, what is understood.
        self.said = {name: text for name, text in said.items() if not wrong[name]}
        fields = {name: field for field, name in FIELDS.items()}
        self.message = "; ".join(f"spec.pods.{fields[name]}: {text}" for name, text in sorted(wrong.items()) if text)
        nodes = view.spec.nodes
        self._nodes = _selector(nodes.selector) if nodes is not None else None
        self._failures = nodes.failures if nodes is not None else []

    def of_pod(self, pod: core_v1.Pod) -> bool:
        meta = pod.metadata
        return (
            self._of_pods
            and (not self._namespaces or meta.namespace in self._namespaces)
            and self._pods.matches(meta.labels)
        )

    def of_container(self, pod: core_v1.Pod, container: str) -> bool:
        return (not self._containers or container in self._containers) and self.of_pod(pod)

    def of_node(self, node: core_v1.Node) -> bool:
        return self._nodes is not None and self._nodes.matches(node.metadata.labels)

    def down(self, now: datetime) -> bool:
        """Whether its nodes have failed at this moment."""
        age = self._age(now)
        return any(f.afterSeconds <= age and (f.forSeconds is None or age < _end(f)) for f in self._failures)

    def next_turn(self, now: datetime) -> float | None:
        """Seconds until ``down`` may change; None if it never does."""
        age = self._age(now)
        turns = [f.afterSeconds for f in self._failures] + [_end(f) for f in self._failures if f.forSeconds is not None]
        return min((turn - age for turn in turns if turn > age), default=None)

    def _age(self, now: datetime) -> float:
        text = self.view.metadata.creationTimestamp
        return (now - times.parse(text)).total_seconds() if text else 0.0


class Simulations:
    """All of a cluster, the strongest first."""

    def __init__(self) -> None:
        self._all: list[Simulation] = []

    def __iter__(self) -> Iterator[Simulation]:
        return iter(self._all)

    def __bool__(self) -> bool:
        return bool(self._all)

    def find(self, name: str) -> Simulation | None:
        return next((one for one in self._all if one.name == name), None)

    def put(self, view: SimulationView) -> None:
        self.remove(view.metadata.name)
        self._all.append(Simulation(view))
        self._all.sort(key=lambda one: (-one.view.spec.priority, one.name))

    def remove(self, name: str) -> None:
        self._all = [one for one in self._all if one.name != name]

    def given(self, pod: core_v1.Pod, container: str) -> Mapping[str, str]:
        """What they say of a container, by the names of annotations."""
        if not self._all:
            return behaviour.NOTHING
        found: dict[str, str] = {}
        for one in reversed(self._all):
            if one.of_container(pod, container):
                found.update(one.said)
        return found

    def down(self, node: core_v1.Node, now: datetime) -> bool:
        return any(one.down(now) and one.of_node(node) for one in self._all)

    def next_turn(self, now: datetime) -> float | None:
        turns = [turn for one in self._all if (turn := one.next_turn(now)) is not None]
        return min(turns, default=None)


def _selector(selector: meta_v1.LabelSelector | None) -> Selector:
    """None is for all, as an empty one is."""
    return from_label_selector(selector or meta_v1.LabelSelector())


def _end(failure: Failure) -> float:
    return failure.afterSeconds + (failure.forSeconds or 0.0)


def _text(value: Any) -> str:
    return ",".join(str(one) for one in value) if isinstance(value, list) else str(value)
