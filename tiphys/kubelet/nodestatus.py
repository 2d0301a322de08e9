"""The Node object as this kubelet wants it: labels, capacity, addresses, conditions. Pure.

Source: Kubernetes docs, "Node Status" and "Node-pressure Eviction"; reasons and messages by behaviour.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from tiphys.api import core_v1, meta_v1
from tiphys.api.scalars import Quantity
from tiphys.kubelet.config import KubeletConfig, MachineFacts
from tiphys.kubelet.machine import Load
from tiphys.machinery import quantity, times

#: Kubernetes' hard eviction thresholds.
MEMORY_AVAILABLE_BYTES_MIN = 100 << 20
DISK_FREE_PERCENT_MIN = 10
INODES_FREE_PERCENT_MIN = 5
PIDS_FREE_PERCENT_MIN = 1
IMAGES_MAX = 50
#: The conditions whose changes are Events.
EVENTFUL: Final = ("MemoryPressure", "DiskPressure", "PIDPressure", "Ready")


@dataclass(frozen=True, slots=True)
class RuntimeState:
    """What the runtime says of itself; ``problem`` is empty if it is reachable and ready."""

    name: str = "tiphys"
    version: str = ""
    problem: str = ""
    network_ready: bool = False
    network_problem: str = ""
    handlers: tuple[tuple[str, bool, bool], ...] = ()
    supplemental_groups_policy: bool = False


def labels(config: KubeletConfig, facts: MachineFacts) -> dict[str, str]:
    return {
        "beta.kubernetes.io/arch": facts.architecture,
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": facts.architecture,
        "kubernetes.io/hostname": config.hostname or config.node_name,
        "kubernetes.io/os": "linux",
        **config.node_labels,
    }


def initial_node(config: KubeletConfig, facts: MachineFacts) -> core_v1.Node:
    taints = [core_v1.Taint(key=key, value=value or None, effect=effect) for key, value, effect in config.taints]
    return core_v1.Node(
        metadata=meta_v1.ObjectMeta(
            name=config.node_name,
            labels=labels(config, facts),
            annotations={"volumes.kubernetes.io/controller-managed-attach-detach": "true"},
        ),
        spec=core_v1.NodeSpec(taints=taints or None),
    )


def capacity(config: KubeletConfig, facts: MachineFacts) -> dict[str, Quantity]:
    found = {
        "cpu": Quantity(str(facts.cpus)),
        "ephemeral-storage": quantity.canonical(f"{facts.disk_bytes // 1024}Ki"),
        "hugepages-1Gi": Quantity("0"),
        "hugepages-2Mi": Quantity("0"),
        "memory": quantity.canonical(f"{facts.memory_bytes // 1024}Ki"),
        "pods": Quantity(str(config.max_pods)),
    }
    found.update({name: quantity.canonical(text) for name, text in config.capacity.items()})
    return found


def allocatable(config: KubeletConfig, total: dict[str, Quantity]) -> dict[str, Quantity]:
    """Capacity less what is reserved and less the eviction thresholds."""
    result = dict(total)
    for name, text in config.reserved.items():
        if name in result:
            result[name] = quantity.subtract(result[name], text)
    result["memory"] = quantity.subtract(result["memory"], "100Mi")
    storage = quantity.parse(total["ephemeral-storage"]) * (100 - DISK_FREE_PERCENT_MIN) / 100
    result["ephemeral-storage"] = quantity.from_decimal(Decimal(int(storage)))
    return {name: text if quantity.parse(text) >= 0 else Quantity("0") for name, text in result.items()}


def addresses(config: KubeletConfig) -> list[core_v1.NodeAddress]:
    found = [core_v1.NodeAddress(type="InternalIP", address=ip) for ip in config.node_ips]
    return [*found, core_v1.NodeAddress(type="Hostname", address=config.hostname or config.node_name)]


def node_info(config: KubeletConfig, facts: MachineFacts, runtime: RuntimeState) -> core_v1.NodeSystemInfo:
    return core_v1.NodeSystemInfo(
        architecture=facts.architecture,
        bootID=facts.boot_id,
        containerRuntimeVersion=f"{runtime.name}://{runtime.version}",
        kernelVersion=facts.kernel_version,
        kubeProxyVersion="",
        kubeletVersion=config.kubelet_version,
        machineID=facts.machine_id,
        operatingSystem="linux",
        osImage=facts.os_image,
        swap=core_v1.NodeSwapStatus(capacity=facts.swap_bytes) if facts.swap_bytes else None,
        systemUUID=facts.system_uuid,
    )


def conditions(
    old: Sequence[core_v1.NodeCondition] | None,
    facts: MachineFacts,
    load: Load,
    runtime: RuntimeState,
    now: datetime,
) -> list[core_v1.NodeCondition]:
    """Ours, in Kubernetes' order, behind those of others."""
    known = {c.type: c for c in old or ()}
    moment = times.format_time(now)
    low_memory = load.memory_available_bytes < MEMORY_AVAILABLE_BYTES_MIN
    low_disk = (
        load.disk_free_bytes * 100 < load.disk_bytes * DISK_FREE_PERCENT_MIN
        or load.inodes_free * 100 < load.inodes * INODES_FREE_PERCENT_MIN
    )
    low_pids = (load.pid_max - load.pids) * 100 < load.pid_max * PIDS_FREE_PERCENT_MIN
    ours = [
        _pressure("MemoryPressure", low_memory, "Memory", "sufficient memory available", "insufficient memory"),
        _disk(low_disk),
        _pressure("PIDPressure", low_pids, "PID", "sufficient PID available", "insufficient PID"),
        _ready(facts, runtime),
    ]
    result = [c for c in old or () if c.type not in {c.type for c in ours}]
    for condition in ours:
        before = known.get(condition.type)
        moved = before is None or before.status != condition.status
        condition.lastHeartbeatTime = moment
        condition.lastTransitionTime = moment if moved or before is None else before.lastTransitionTime
        result.append(condition)
    return result


def changes(
    old: Sequence[core_v1.NodeCondition] | None, new: Sequence[core_v1.NodeCondition] | None, *, first: bool
) -> list[str]:
    """Reasons of the Events for what has changed; a node's pressures are told when it ``first`` reports, too."""
    before = {c.type: c.status for c in old or () if c.type == "Ready" or not first}
    ours = [c for c in new or () if c.type in EVENTFUL and (c.type != "Ready" or "Ready" in before)]
    return [(c.reason or "").replace("Kubelet", "Node", 1) for c in ours if before.get(c.type) != c.status]


def _pressure(name: str, bad: bool, what: str, good_text: str, bad_text: str) -> core_v1.NodeCondition:
    reason = f"KubeletHasInsufficient{what}" if bad else f"KubeletHasSufficient{what}"
    text = f"kubelet has {bad_text} available" if bad else f"kubelet has {good_text}"
    return core_v1.NodeCondition(type=name, status="True" if bad else "False", reason=reason, message=text)


def _disk(bad: bool) -> core_v1.NodeCondition:
    return core_v1.NodeCondition(
        type="DiskPressure",
        status="True" if bad else "False",
        reason="KubeletHasDiskPressure" if bad else "KubeletHasNoDiskPressure",
        message="kubelet has disk pressure" if bad else "kubelet has no disk pressure",
    )


def _ready(facts: MachineFacts, runtime: RuntimeState) -> core_v1.NodeCondition:
    problems = [
        text for text in (runtime.problem, runtime.network_problem if not runtime.network_ready else "") if text
    ]
    if problems:
        text = problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]"
        return core_v1.NodeCondition(type="Ready", status="False", reason="KubeletNotReady", message=text)
    text = "kubelet is posting ready status"
    if facts.missing:
        text += f". WARNING: {'; '.join(facts.missing)}"
    return core_v1.NodeCondition(type="Ready", status="True", reason="KubeletReady", message=text)


def images(found: Sequence[tuple[Sequence[str], int]]) -> list[core_v1.ContainerImage]:
    """Names and size of each; the largest ones."""
    largest = sorted((i for i in found if i[0]), key=lambda i: -i[1])[:IMAGES_MAX]
    return [core_v1.ContainerImage(names=list(names)[:5], sizeBytes=size) for names, size in largest]


def differs(old: core_v1.NodeStatus, new: core_v1.NodeStatus) -> bool:
    """Whether more than heartbeats has changed."""
    return _without_heartbeats(old) != _without_heartbeats(new)


def _without_heartbeats(status: core_v1.NodeStatus) -> list[object]:
    plain = [(c.type, c.status, c.reason, c.message) for c in status.conditions or ()]
    fields = [getattr(status, f) for f in status.__struct_fields__ if f != "conditions"]
    return [sorted(plain, key=lambda c: c[0]), *fields]
