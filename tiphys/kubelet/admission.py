"""Whether the node takes a Pod that the scheduler has given it. Pure.

The scheduler may have decided on an older view, and Pods may name a node themselves.
Source: the kubelet's predicate admit handler, by behaviour.
"""

from collections.abc import Container, Iterable, Mapping

from tiphys.api import core_v1
from tiphys.kubelet import qos
from tiphys.machinery import quantity
from tiphys.machinery.goformat import quote

Refusal = tuple[str, str]

#: Source: Kubernetes docs, "Using sysctls in a Kubernetes Cluster", "Safe and Unsafe Sysctls".
SAFE_SYSCTLS = frozenset({
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
})  # fmt: skip


def refusal(
    pod: core_v1.Pod, others: Iterable[core_v1.Pod], allocatable: Mapping[str, str], node: core_v1.Node | None
) -> Refusal | None:
    """Reason and message of the Pod's failure; None if it is admitted. ``others`` are the node's running Pods."""
    running = list(others)
    refused = _sysctls(pod)
    if refused is not None:
        return refused
    if node is not None:
        refused = _selector(pod, node)
        if refused is not None:
            return refused
    refused = _resources(pod, running, allocatable)
    return refused if refused is not None else _ports(pod, running)


def _sysctls(pod: core_v1.Pod) -> Refusal | None:
    """What a Pod sets must not reach beyond it."""
    context = pod.spec.securityContext
    for sysctl in (context.sysctls if context else None) or ():
        if sysctl.name.replace("/", ".") not in SAFE_SYSCTLS:
            return "SysctlForbidden", f"forbidden sysctl: {quote(sysctl.name)} not allowlisted"
    return None


def _resources(pod: core_v1.Pod, running: list[core_v1.Pod], allocatable: Mapping[str, str]) -> Refusal | None:
    limit = int(allocatable.get("pods", "110"))
    if len(running) + 1 > limit:
        return _out_of("pods", 1, len(running), limit)
    return lacks(pod, running, allocatable)


def lacks(
    pod: core_v1.Pod, running: list[core_v1.Pod], allocatable: Mapping[str, str], names: Container[str] | None = None
) -> Refusal | None:
    """The first resource of which too little is left, of those in ``names``."""
    used: dict[str, int] = {}
    for other in running:
        for name, number in qos.pod_requests(other).items():
            used[name] = used.get(name, 0) + number
    for name, number in sorted(qos.pod_requests(pod).items()):
        if number == 0 or (names is not None and name not in names):
            continue
        text = allocatable.get(name)
        total = (quantity.milli(text) if name == "cpu" else quantity.value(text)) if text else 0
        if used.get(name, 0) + number > total:
            return _out_of(name, number, used.get(name, 0), total)
    return None


def _out_of(name: str, requested: int, used: int, capacity: int) -> Refusal:
    text = f"Node didn't have enough resource: {name}, requested: {requested}, used: {used}, capacity: {capacity}"
    return f"OutOf{name}", text


def _ports(pod: core_v1.Pod, running: list[core_v1.Pod]) -> Refusal | None:
    taken = {key for other in running for key in _host_ports(other)}
    for protocol, address, port in _host_ports(pod):
        for other_protocol, other_address, other_port in taken:
            same_address = "0.0.0.0" in (address, other_address) or address == other_address
            if port == other_port and protocol == other_protocol and same_address:
                return (
                    "NodePorts",
                    "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports",
                )
    return None


def _host_ports(pod: core_v1.Pod) -> list[tuple[str, str, int]]:
    return [
        (port.protocol or "TCP", port.hostIP or "0.0.0.0", port.hostPort)
        for container in pod.spec.containers
        for port in container.ports or ()
        if port.hostPort
    ]


def _selector(pod: core_v1.Pod, node: core_v1.Node) -> Refusal | None:
    labels = node.metadata.labels
    if all(labels.get(name) == text for name, text in (pod.spec.nodeSelector or {}).items()):
        return None
    return "NodeAffinity", "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"
