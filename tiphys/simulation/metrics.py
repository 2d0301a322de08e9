"""The resource metrics API of simulated nodes and their Pods: what ``kubectl top`` and the autoscaler read.

Source: the API of k8s.io/metrics, ``metrics.k8s.io/v1beta1``; metrics-server, by behaviour.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from tiphys.machinery import codec, errors, selectors, times
from tiphys.simulation.node import SimulatedNode
from tiphys.simulation.nodes import Nodes
from tiphys.simulation.pod import SimulatedPod

GROUP: Final = "metrics.k8s.io"
VERSION: Final = "v1beta1"
WINDOW: Final = "15s"
#: What a node needs for itself.
NODE_CPU_MILLI = 100
NODE_MEMORY_BYTES = 512 << 20

_API = f"{GROUP}/{VERSION}"
_VERBS = ["get", "list"]
_RESOURCES = [
    {"name": "nodes", "singularName": "", "namespaced": False, "kind": "NodeMetrics", "verbs": _VERBS},
    {"name": "pods", "singularName": "", "namespaced": True, "kind": "PodMetrics", "verbs": _VERBS},
]
_SERVED = {"groupVersion": _API, "version": VERSION}
_GROUP = {
    "kind": "APIGroup",
    "apiVersion": "v1",
    "name": GROUP,
    "versions": [_SERVED],
    "preferredVersion": _SERVED,
}
DISCOVERY: Mapping[tuple[str, ...], Any] = {
    (): {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_GROUP]},
    (GROUP,): _GROUP,
    (GROUP, VERSION): {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": _API, "resources": _RESOURCES},
}

Query = Mapping[str, str]


class Metrics:
    """Answers paths below ``/apis``."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes

    def answer(self, path: Sequence[str], query: Query) -> bytes:
        """``path`` without its first part. Raises StatusError."""
        found = DISCOVERY.get(tuple(path))
        if found is None and path[:2] == [GROUP, VERSION]:
            match path[2:]:
                case ["nodes"]:
                    found = _list("NodeMetrics", map(self._of_node, self._matching_nodes(query)))
                case ["nodes", name]:
                    found = self._one("nodes", name, map(self._of_node, self._alive()))
                case ["pods"]:
                    found = _list("PodMetrics", self._pods("", query))
                case ["namespaces", namespace, "pods"]:
                    found = _list("PodMetrics", self._pods(namespace, query))
                case ["namespaces", namespace, "pods", name]:
                    found = self._one("pods", name, self._pods(namespace, {}))
        if found is None:
            raise errors.NotFound("", "/".join(path))
        return codec.encode(found)

    def _one(self, resource: str, name: str, among: Iterable[dict[str, Any]]) -> dict[str, Any]:
        for found in among:
            if found["metadata"]["name"] == name:
                return found
        raise errors.NotFound(f"{resource}.{GROUP}", name)

    def _alive(self) -> list[SimulatedNode]:
        return [node for node in self._nodes.by_name.values() if node.alive]

    def _matching_nodes(self, query: Query) -> list[SimulatedNode]:
        selector = selectors.parse_labels(query.get("labelSelector", ""))
        return [node for node in self._alive() if selector.matches(node.node.metadata.labels)]

    def _of_node(self, node: SimulatedNode) -> dict[str, Any]:
        cpu, memory = node.usage()
        usage = _usage(cpu + NODE_CPU_MILLI, memory + NODE_MEMORY_BYTES)
        meta = {"name": node.name, "labels": node.node.metadata.labels}
        return self._stamped("NodeMetrics", meta) | {"usage": usage}

    def _pods(self, namespace: str, query: Query) -> list[dict[str, Any]]:
        labels = selectors.parse_labels(query.get("labelSelector", ""))
        fields = selectors.parse_fields(query.get("fieldSelector", ""))
        found = []
        for node in self._alive():
            for pod in node.pods.values():
                meta = pod.pod.metadata
                place = {"metadata.name": meta.name, "metadata.namespace": meta.namespace}
                wanted = (not namespace or meta.namespace == namespace) and labels.matches(meta.labels)
                if wanted and fields.matches(place) and (measured := self._of_pod(pod)):
                    found.append(measured)
        return sorted(found, key=lambda one: (one["metadata"]["namespace"], one["metadata"]["name"]))

    def _of_pod(self, pod: SimulatedPod) -> dict[str, Any] | None:
        containers = [
            {"name": fact.name, "usage": _usage(plan.cpu_milli, plan.memory_bytes)} for fact, plan in pod.running()
        ]
        if not containers:
            return None
        meta = pod.pod.metadata
        shown = {"name": meta.name, "namespace": meta.namespace, "labels": meta.labels}
        return self._stamped("PodMetrics", shown) | {"containers": containers}

    def _stamped(self, kind: str, meta: dict[str, Any]) -> dict[str, Any]:
        now = times.format_time(self._nodes.clock.now())
        meta = meta | {"creationTimestamp": now}
        return {"kind": kind, "apiVersion": _API, "metadata": meta, "timestamp": now, "window": WINDOW}


def _usage(cpu_milli: int, memory_bytes: int) -> dict[str, str]:
    return {"cpu": f"{cpu_milli}m", "memory": f"{memory_bytes // 1024}Ki"}


def _list(kind: str, items: Iterable[dict[str, Any]]) -> dict[str, Any]:
    return {"kind": f"{kind}List", "apiVersion": _API, "metadata": {}, "items": list(items)}
