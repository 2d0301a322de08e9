"""Conditions of a silent node, and the taints that conditions call for. Pure."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from tiphys.api import core_v1
from tiphys.machinery import conditions, times

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
#: What a kubelet reports; all of it is unknown once it is silent.
REPORTED = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
#: Condition type and status, and the taint that keeps Pods from being scheduled there.
TAINTS = {
    ("Ready", "False"): NOT_READY,
    ("Ready", "Unknown"): UNREACHABLE,
    ("MemoryPressure", "True"): "node.kubernetes.io/memory-pressure",
    ("DiskPressure", "True"): "node.kubernetes.io/disk-pressure",
    ("NetworkUnavailable", "True"): "node.kubernetes.io/network-unavailable",
    ("PIDPressure", "True"): "node.kubernetes.io/pid-pressure",
}
_OWN = {*TAINTS.values(), UNSCHEDULABLE}


def ready_status(node: core_v1.Node) -> str:
    """True, False, Unknown, or empty if nothing was ever said."""
    found = conditions.find_condition(node.status.conditions, "Ready")
    return found.status if found is not None else ""


def silent(node: core_v1.Node, now: datetime) -> list[core_v1.NodeCondition] | None:
    """The conditions of a node that has not been heard of in time; None if they say so already."""
    listed = list(node.status.conditions or ())
    changed = False
    for condition_type in REPORTED:
        old = conditions.find_condition(listed, condition_type)
        if old is not None and old.status == "Unknown":
            continue
        changed = True
        listed = conditions.set_condition(listed, _unknown(node, condition_type, old, now), now)
    return listed if changed else None


def _unknown(
    node: core_v1.Node, condition_type: str, old: core_v1.NodeCondition | None, now: datetime
) -> core_v1.NodeCondition:
    if old is None:
        return core_v1.NodeCondition(
            type=condition_type,
            status="Unknown",
            reason="NodeStatusNeverUpdated",
            message="Kubelet never posted node status.",
            lastHeartbeatTime=node.metadata.creationTimestamp,
            lastTransitionTime=times.format_time(now),
        )
    return msgspec.structs.replace(
        old,
        status="Unknown",
        reason="NodeStatusUnknown",
        message="Kubelet stopped posting node status.",
        lastTransitionTime=times.format_time(now),
    )


def taints(node: core_v1.Node, may_evict: bool, now: datetime) -> list[core_v1.Taint] | None:
    """The taints that ``node`` should have; None if it has them.

    ``may_evict`` allows a NoExecute taint that is not there yet; one that is there
    stays as long as its condition does.
    """
    current = node.spec.taints or []
    wanted = _wanted(node, current, may_evict)
    kept = [taint for taint in current if not _is_own(taint) or (taint.key, taint.effect) in wanted]
    there = {(taint.key, taint.effect) for taint in kept}
    stamp = times.format_time(now)
    added = [
        core_v1.Taint(key=key, effect=effect, timeAdded=stamp) for key, effect in wanted if (key, effect) not in there
    ]
    return [*kept, *added] if added or len(kept) != len(current) else None


def _wanted(node: core_v1.Node, current: Sequence[core_v1.Taint], may_evict: bool) -> list[tuple[str, str]]:
    wanted = [
        (TAINTS[condition.type, condition.status], "NoSchedule")
        for condition in node.status.conditions or ()
        if (condition.type, condition.status) in TAINTS
    ]
    if node.spec.unschedulable:
        wanted.append((UNSCHEDULABLE, "NoSchedule"))
    evicting = evicting_taint(node)
    if evicting is not None:
        already = any(taint.effect == "NoExecute" and taint.key in (NOT_READY, UNREACHABLE) for taint in current)
        if may_evict or already:
            wanted.append((evicting, "NoExecute"))
    return wanted


def evicting_taint(node: core_v1.Node) -> str | None:
    """The key of the taint that drives Pods off; None for a node that is ready, or has yet to say."""
    return {"False": NOT_READY, "Unknown": UNREACHABLE}.get(ready_status(node))


def is_evicting(node: core_v1.Node) -> bool:
    """Whether the NoExecute taint is there."""
    return any(t.effect == "NoExecute" and t.key in (NOT_READY, UNREACHABLE) for t in node.spec.taints or ())


def _is_own(taint: core_v1.Taint) -> bool:
    """Only these come and go with conditions; all others belong to users."""
    if taint.effect == "NoExecute":
        return taint.key in (NOT_READY, UNREACHABLE)
    return taint.effect == "NoSchedule" and taint.key in _OWN
