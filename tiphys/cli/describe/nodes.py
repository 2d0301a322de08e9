"""Nodes, what they offer and what of it is taken."""

from collections.abc import Iterable, Iterator

from tiphys.cli.describe import parts
from tiphys.cli.describe.parts import NONE, UNSET, Dict
from tiphys.cli.describe.writer import Writer
from tiphys.cli.errors import ServerRefused
from tiphys.cli.server import Server
from tiphys.machinery import quantity

ROLE = "node-role.kubernetes.io/"
INFO = (
    ("Machine ID", "machineID"),
    ("System UUID", "systemUUID"),
    ("Boot ID", "bootID"),
    ("Kernel Version", "kernelVersion"),
    ("OS Image", "osImage"),
    ("Operating System", "operatingSystem"),
    ("Architecture", "architecture"),
    ("Container Runtime Version", "containerRuntimeVersion"),
    ("Kubelet Version", "kubeletVersion"),
    ("Kube-Proxy Version", "kubeProxyVersion"),
)


def node(w: Writer, server: Server, obj: Dict) -> None:
    metadata, spec, status = obj["metadata"], obj.get("spec") or {}, obj.get("status") or {}
    parts.names(w, obj)
    w.line(0, "Roles:", ",".join(sorted(_roles(metadata.get("labels") or {}))) or NONE)
    parts.pairs(w, "Labels:", metadata.get("labels"))
    parts.annotations(w, "Annotations:", metadata.get("annotations"))
    w.line(0, "CreationTimestamp:", parts.time_text(metadata.get("creationTimestamp")))
    taints = sorted(spec.get("taints") or (), key=lambda taint: (str(taint["effect"]), str(taint["key"])))
    parts.several(w, "Taints:", [_taint(taint) for taint in taints])
    w.line(0, "Unschedulable:", str(bool(spec.get("unschedulable"))).lower())
    _lease(w, server, metadata["name"])
    _conditions(w, status)
    w.line(0, "Addresses:")
    for address in status.get("addresses") or ():
        w.line(1, f"{address['type']}:", address["address"])
    for title in ("Capacity", "Allocatable"):
        if found := status.get(title.lower()):
            w.line(0, f"{title}:")
            for name, amount in sorted(found.items()):
                w.line(1, f"{name}:", amount)
    w.line(0, "System Info:")
    info = status.get("nodeInfo") or {}
    for title, field in INFO:
        w.line(1, f"{title}:", info.get(field, ""))
    if spec.get("podCIDR"):
        w.line(0, "PodCIDR:", spec["podCIDR"])
    if spec.get("podCIDRs"):
        w.line(0, "PodCIDRs:", ",".join(spec["podCIDRs"]))
    if spec.get("providerID"):
        w.line(0, "ProviderID:", spec["providerID"])
    _pods(w, server, obj)
    parts.events(w, server, obj)


def _roles(labels: Dict) -> Iterator[str]:
    for key, text in labels.items():
        if key.startswith(ROLE) and key != ROLE:
            yield key.removeprefix(ROLE)
        elif key == "kubernetes.io/role" and text:
            yield str(text)


def _taint(taint: Dict) -> str:
    value = f"={taint['value']}" if taint.get("value") else ""
    return f"{taint['key']}{value}:{taint['effect']}"


def _lease(w: Writer, server: Server, name: str) -> None:
    try:
        lease = server.get(f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{name}")
    except ServerRefused as error:
        w.line(0, "Lease:", f"Failed to get lease: {error}")
        return
    spec = lease.get("spec") or {}
    w.line(0, "Lease:")
    w.line(1, "HolderIdentity:", spec.get("holderIdentity") or UNSET)
    for title, field in (("AcquireTime", "acquireTime"), ("RenewTime", "renewTime")):
        w.line(1, f"{title}:", parts.time_text(spec.get(field)))


def _conditions(w: Writer, status: Dict) -> None:
    if not status.get("conditions"):
        return
    w.line(0, "Conditions:")
    headers = ("Type", "Status", "LastHeartbeatTime", "LastTransitionTime", "Reason", "Message")
    rows = [
        (
            found["type"],
            found["status"],
            parts.time_text(found.get("lastHeartbeatTime")),
            parts.time_text(found.get("lastTransitionTime")),
            found.get("reason", ""),
            found.get("message", ""),
        )
        for found in status["conditions"]
    ]
    w.table(1, headers, rows, gap=" ")


def _pods(w: Writer, server: Server, obj: Dict) -> None:
    """Pods that are not over, what they ask for, and the sum of it."""
    fields = f"spec.nodeName={obj['metadata']['name']},status.phase!=Failed,status.phase!=Succeeded"
    pods = server.get("/api/v1/pods", {"fieldSelector": fields}).get("items") or []
    status = obj.get("status") or {}
    offered = status.get("allocatable") or status.get("capacity") or {}
    w.line(0, "Non-terminated Pods:", f"({len(pods)} in total)")
    headers = ("Namespace", "Name", "", "CPU Requests", "CPU Limits", "Memory Requests", "Memory Limits", "Age")
    rows = []
    sums: dict[tuple[str, str], str] = {}
    for pod in pods:
        row = [pod["metadata"]["namespace"], pod["metadata"]["name"], ""]
        asked = {kind: _asked(pod["spec"], kind) for kind in ("requests", "limits")}
        for kind, resources in asked.items():
            for name, amount in resources.items():
                sums[name, kind] = quantity.add(sums.get((name, kind), "0"), amount)
        for name in ("cpu", "memory"):
            row += [_share(asked[kind].get(name, "0"), offered.get(name)) for kind in ("requests", "limits")]
        rows.append([*row, parts.since(pod["metadata"].get("creationTimestamp"))])
    w.table(1, headers, rows)
    w.line(0, "Allocated resources:")
    w.line(1, "(Total limits may be over 100 percent, i.e., overcommitted.)")
    plain = ["cpu", "memory", "ephemeral-storage"]
    extended = sorted(name for name in offered if name not in (*plain, "pods") and not name.startswith("hugepages-"))
    huge = sorted(name for name in offered if name.startswith("hugepages-"))
    w.table(
        1,
        ("Resource", "Requests", "Limits"),
        [
            *([name, *(_share(sums.get((name, k), "0"), offered.get(name)) for k in _KINDS)] for name in plain + huge),
            *([name, *(sums.get((name, k), "0") for k in _KINDS)] for name in extended),
        ],
    )


_KINDS = ("requests", "limits")


def _share(amount: str, offered: str | None) -> str:
    """An amount, and what part of the node's it is."""
    whole = quantity.milli(offered) if offered else 0
    percent = quantity.milli(amount) * 100 // whole if whole else 0
    return f"{amount} ({percent}%)"


def _asked(spec: Dict, kind: str) -> dict[str, str]:
    """What a Pod takes: its containers and sidecars together, or its greatest init container, plus overhead."""
    total = _sum(_amounts(found, kind) for found in spec.get("containers") or ())
    sidecars: dict[str, str] = {}
    greatest: dict[str, str] = {}
    for found in spec.get("initContainers") or ():
        mine = _amounts(found, kind)
        if found.get("restartPolicy") == "Always":
            sidecars = _sum([sidecars, mine])
            mine = sidecars
        else:
            mine = _sum([sidecars, mine])
        greatest = {name: _greater(greatest, mine, name) for name in greatest.keys() | mine.keys()}
    total = _sum([total, sidecars])
    total = {name: _greater(total, greatest, name) for name in total.keys() | greatest.keys()}
    overhead = spec.get("overhead") or {}
    return _sum([total, {name: more for name, more in overhead.items() if kind == "requests" or name in total}])


def _amounts(container: Dict, kind: str) -> dict[str, str]:
    return (container.get("resources") or {}).get(kind) or {}


def _sum(found: Iterable[dict[str, str]]) -> dict[str, str]:
    total: dict[str, str] = {}
    for amounts in found:
        for name, amount in amounts.items():
            total[name] = quantity.add(total[name], amount) if name in total else amount
    return total


def _greater(a: dict[str, str], b: dict[str, str], name: str) -> str:
    first, second = a.get(name, "0"), b.get(name, "0")
    return first if quantity.compare(first, second) >= 0 else second
