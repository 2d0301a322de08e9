"""How many decisions the scheduler makes in a second, without an API: workloads of Kubernetes' scheduler benchmarks.

    python bench/scheduler_perf.py [--nodes 500 5000] [--only basic,preemption] [--profile out.prof]

A decision is all from a Pod as an object to its place in the node table: parsing,
queue, filters, scores, and the eviction of others where one is needed.
"""

import argparse
import cProfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tiphys.api import core_v1
from tiphys.machinery import codec
from tiphys.scheduler.classes import Classes
from tiphys.scheduler.config import Config
from tiphys.scheduler.cycle import Placement, Refusal, decide, decide_nominated
from tiphys.scheduler.events import NodeChanged, PodGone, PodPlaced
from tiphys.scheduler.nodes import NodeTable
from tiphys.scheduler.plugins.registry import default_plugins
from tiphys.scheduler.pods import PodInfo, pod_info
from tiphys.scheduler.preemption import Eviction
from tiphys.scheduler.queue import SchedulingQueue

HOSTNAME, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"
Spec = dict[str, Any]


@dataclass(frozen=True)
class Template:
    """A Pod's labels and spec; ``spec`` is told the Pod's number for what differs."""

    labels: dict[str, str]
    spec: Callable[[int], Spec]
    namespace: str = "default"


def container(cpu: str = "100m", memory: str = "500Mi") -> Spec:
    requests = {"cpu": cpu, "memory": memory}
    return {"name": "pause", "image": "registry.example.com/pause:3.10", "resources": {"requests": requests}}


def plain(cpu: str = "100m", memory: str = "500Mi", **more: Any) -> Callable[[int], Spec]:
    return lambda _: {"containers": [container(cpu, memory)]} | more


def pod_term(color: str, key: str) -> Spec:
    namespaces = {"namespaces": ["default", "init"]}
    return {"labelSelector": {"matchLabels": {"color": color}}, "topologyKey": key} | namespaces


def near(kind: str, color: str, key: str, weight: int = 0) -> dict[str, Any]:
    if weight:
        terms = [{"weight": weight, "podAffinityTerm": pod_term(color, key)}]
        return {"affinity": {kind: {"preferredDuringSchedulingIgnoredDuringExecution": terms}}}
    return {"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [pod_term(color, key)]}}}


def node_affinity(*expressions: Spec, field: str = "matchExpressions") -> dict[str, Any]:
    terms = {"nodeSelectorTerms": [{field: list(expressions)}]}
    return {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}}


def spread(when: str) -> dict[str, Any]:
    constraint = {"maxSkew": 5, "topologyKey": ZONE, "whenUnsatisfiable": when}
    return {"topologySpreadConstraints": [constraint | {"labelSelector": {"matchLabels": {"color": "blue"}}}]}


def daemon(number: int) -> Spec:
    here = node_affinity({"key": "metadata.name", "operator": "In", "values": [f"node-{number}"]}, field="matchFields")
    return plain(cpu="10m", memory="10Mi", **here)(number)


BLUE, GREEN, RED = {"color": "blue"}, {"color": "green"}, {"color": "red"}
PLAIN = Template({}, plain())
IN_ZONE = node_affinity({"key": ZONE, "operator": "In", "values": ["zone-0", "zone-1"]})
TOO_LARGE = Template({}, plain(cpu="99"))


@dataclass(frozen=True)
class Workload:
    """Pods that are there before (a share of the node count), and those that are measured."""

    name: str
    measured: Template
    before: Template | None = PLAIN
    before_per_node: float = 1.0
    measured_per_node: float = 1.0
    #: What comes in between, once for every ``every`` Pods that are measured.
    mixed_in: Template | None = None
    every: int = 0
    churn: bool = False
    #: Pods per second that Kubernetes demands of itself at 5,000 nodes.
    threshold: int = 0


ANTI = Template(GREEN, plain(**near("podAntiAffinity", "green", HOSTNAME)))
WORKLOADS = (
    Workload("basic", PLAIN, threshold=270),
    Workload("node affinity", Template({}, plain(**IN_ZONE)), threshold=220),
    Workload("topology spread", Template(BLUE, plain(**spread("DoNotSchedule"))), threshold=85),
    Workload("preferred topology spread", Template(BLUE, plain(**spread("ScheduleAnyway"))), threshold=125),
    Workload("pod anti-affinity", ANTI, Template(GREEN, plain(), "init"), 0.2, 0.4, threshold=60),
    Workload("pod affinity", Template(BLUE, plain(**near("podAffinity", "blue", ZONE))), threshold=35),
    Workload(
        "preferred pod affinity",
        Template(RED, plain(**near("podAffinity", "red", HOSTNAME, 1))),
        Template(RED, plain(**near("podAffinity", "red", HOSTNAME, 1)), "init"),
        threshold=90,
    ),
    Workload(
        "preferred pod anti-affinity",
        Template(RED, plain(**near("podAntiAffinity", "red", HOSTNAME, 1))),
        Template(RED, plain(**near("podAntiAffinity", "red", HOSTNAME, 1)), "init"),
        threshold=90,
    ),
    Workload(
        "preemption",
        Template({}, plain(cpu="3", memory="500Mi", priority=10)),
        Template({}, plain(cpu="900m", memory="500Mi")),
        before_per_node=4,
        threshold=160,
    ),
    Workload("unschedulable mix", PLAIN, PLAIN, mixed_in=TOO_LARGE, every=50, threshold=265),
    Workload("churn", PLAIN, PLAIN, mixed_in=TOO_LARGE, every=10, churn=True, threshold=265),
    Workload("daemon sets", Template({}, daemon), None, threshold=390),
)


class Bench:
    """A scheduler's brain, and a cluster that only exists in its tables."""

    def __init__(self, nodes: int) -> None:
        self.nodes = NodeTable()
        self.classes = Classes(self.nodes, default_plugins())
        self.queue = SchedulingQueue(Config())
        self.count = nodes
        self.placed = self.refused = self.evicted = 0
        for number in range(nodes):
            self.nodes.set_node(node(number))

    def offer(self, pods: Iterator[core_v1.Pod], now: float) -> None:
        for pod in pods:
            self.queue.add(pod_info(pod))
        while (info := self.queue.pop()) is not None:
            self._schedule(info, now)

    def _schedule(self, info: PodInfo, now: float) -> None:
        nominated = self.nodes.withdraw(info.uid)
        pod_class = self.classes.of(info)
        home = decide_nominated(info, pod_class, self.nodes, nominated) if nominated else None
        match home or decide(info, pod_class, self.nodes):
            case Placement(node_name):
                self.nodes.place(info, node_name)
                self.queue.remove(info.uid)
                self._tell(PodPlaced(info))
                self.placed += 1
            case Refusal(eviction=None, plugins=plugins):
                self.refused += 1
                self.queue.refused(info.uid, now, plugins)
            case Refusal(eviction=Eviction() as eviction):
                self.nodes.nominate(info, eviction.node_name)
                for victim in eviction.victims:
                    self.nodes.remove(victim.uid)
                    self._tell(PodGone(victim))
                    self.evicted += 1
                self._schedule(info, now)

    def _tell(self, event: PodPlaced | PodGone | NodeChanged) -> None:
        plugins, kind = self.classes.plugins, type(event)
        self.queue.move(
            lambda names: any(kind in plugin.wakes and plugin.name in names for plugin in plugins),
            lambda info, names: any(p.name in names and kind in p.wakes and p.helped_by(info, event) for p in plugins),
        )

    def churn(self, number: int) -> None:
        """A node goes and comes back, and a Pod goes."""
        name = f"node-{number % self.count}"
        self.nodes.remove_node(name)
        self.nodes.set_node(node(number % self.count))


def node(number: int) -> core_v1.Node:
    name = f"node-{number}"
    labels = {HOSTNAME: name, ZONE: f"zone-{number % 3}"}
    allocatable = {"cpu": "4", "memory": "32Gi", "pods": "110"}
    body = {"metadata": {"name": name, "labels": labels}, "status": {"allocatable": allocatable}}
    return codec.convert(core_v1.Node, body)


def pods(template: Template, prefix: str, count: int, first: int = 0) -> list[core_v1.Pod]:
    return [
        codec.convert(
            core_v1.Pod,
            {
                "metadata": {
                    "name": f"{prefix}{number}",
                    "namespace": template.namespace,
                    "uid": f"{prefix}{number}",
                    "labels": template.labels,
                },
                "spec": template.spec(number),
            },
        )
        for number in range(first, first + count)
    ]


def measure(workload: Workload, nodes: int) -> tuple[float, Bench]:
    """Decisions per second."""
    bench = Bench(nodes)
    if workload.before is not None:
        bench.offer(iter(pods(workload.before, "before-", int(nodes * workload.before_per_node))), 0.0)
    count = int(nodes * workload.measured_per_node)
    measured = pods(workload.measured, "pod-", count)
    others = pods(workload.mixed_in, "other-", count // workload.every) if workload.mixed_in is not None else []
    batch = workload.every or count
    bench.placed = bench.refused = 0
    began = time.perf_counter()
    for number, start in enumerate(range(0, count, batch)):
        bench.offer(iter(measured[start : start + batch]), 0.0)
        bench.offer(iter(others[number : number + 1]), 0.0)
        if workload.churn:
            bench.churn(number)
    seconds = time.perf_counter() - began
    return (bench.placed + bench.refused) / seconds, bench


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--nodes", type=int, nargs="+", default=[500, 5000])
    parser.add_argument("--only", default="")
    parser.add_argument("--profile", default="")
    arguments = parser.parse_args()
    wanted = [name for name in arguments.only.split(",") if name]
    profile = cProfile.Profile()
    print(f"{'workload':<30}" + "".join(f"{nodes:>9} nodes" for nodes in arguments.nodes) + "   threshold")
    for workload in WORKLOADS:
        if wanted and workload.name not in wanted:
            continue
        rates = []
        for nodes in arguments.nodes:
            if arguments.profile:
                profile.enable()
            rate, bench = measure(workload, nodes)
            profile.disable()
            rates.append(f"{rate:>11,.0f}/s  ({bench.placed} placed, {bench.refused} refused, {bench.evicted} evicted)")
        print(f"{workload.name:<30}{''.join(rates)}   {workload.threshold}", flush=True)
    if arguments.profile:
        profile.dump_stats(arguments.profile)


if __name__ == "__main__":
    main()
