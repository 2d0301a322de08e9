"""Which Pods of the old template make way, within maxUnavailable or maxSurge. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from tiphys.api import apps_v1, core_v1
from tiphys.controllers import pods as podfacts
from tiphys.controllers.daemonset.desired import Changes, allows_surge, belongs, is_updated
from tiphys.machinery import intstr


def rolled(
    ds: apps_v1.DaemonSet,
    nodes: Sequence[core_v1.Node],
    pods: Mapping[str, list[core_v1.Pod]],
    digest: str,
    now: datetime,
) -> Changes:
    """``pods`` by node, as ``desired.by_node`` gives them."""
    eligible = {node.metadata.name for node in nodes if belongs(ds, node)[0]}
    everywhere = {**dict.fromkeys(sorted(eligible), ()), **pods}
    surge, unavailable = limits(ds, len(eligible))
    if surge:
        return _surged(ds, everywhere, eligible, digest, surge, now)
    return _replaced(ds, everywhere, digest, unavailable, now)


def limits(ds: apps_v1.DaemonSet, wanted: int) -> tuple[int, int]:
    """maxSurge and maxUnavailable as numbers, rounded up; never both 0."""
    rolling = ds.spec.updateStrategy.rollingUpdate or apps_v1.RollingUpdateDaemonSet()
    surge = intstr.scaled(rolling.maxSurge or 0, wanted, True) if allows_surge(ds) else 0
    most = 1 if rolling.maxUnavailable is None else rolling.maxUnavailable
    unavailable = intstr.scaled(most, wanted, True)
    return surge, unavailable if surge or unavailable else 1


def _pair(
    ds: apps_v1.DaemonSet, pods: Sequence[core_v1.Pod], digest: str
) -> tuple[core_v1.Pod | None, core_v1.Pod | None] | None:
    """The new and the old Pod of a node; None if there are two of a kind."""
    new: core_v1.Pod | None = None
    old: core_v1.Pod | None = None
    for pod in pods:
        if pod.metadata.deletionTimestamp is not None:
            continue
        if is_updated(ds, pod, digest):
            if new is not None:
                return None
            new = pod
        else:
            if old is not None:
                return None
            old = pod
    return new, old


def _replaced(
    ds: apps_v1.DaemonSet,
    pods: Mapping[str, Sequence[core_v1.Pod]],
    digest: str,
    most: int,
    now: datetime,
) -> Changes:
    """Old Pods that are not available go at once, the others as far as the limit allows."""
    seconds = ds.spec.minReadySeconds or 0
    missing = 0
    broken: list[core_v1.Pod] = []
    candidates: list[core_v1.Pod] = []
    for here in pods.values():
        pair = _pair(ds, here, digest)
        if pair is None or (pair[0] is None) == (pair[1] is None):
            # Something is being created or deleted there.
            missing += 1
            continue
        new, old = pair
        if new is not None:
            missing += not podfacts.is_available(new, seconds, now)
        elif old is not None and podfacts.is_available(old, seconds, now):
            candidates.append(old)
        elif old is not None:
            broken.append(old)
            missing += 1
    return Changes(delete=broken + candidates[: max(0, most - missing)])


def _surged(
    ds: apps_v1.DaemonSet,
    pods: Mapping[str, Sequence[core_v1.Pod]],
    eligible: set[str],
    digest: str,
    most: int,
    now: datetime,
) -> Changes:
    """New Pods come beside old ones, and old ones go once theirs is available."""
    seconds = ds.spec.minReadySeconds or 0
    surging = 0
    changes = Changes()
    candidates: list[str] = []
    for node, here in pods.items():
        pair = _pair(ds, here, digest)
        if pair is None:
            surging += 1
            continue
        new, old = pair
        if old is None:
            continue
        if new is not None:
            if podfacts.is_available(new, seconds, now):
                changes.delete.append(old)
            else:
                surging += 1
        elif node not in eligible:
            # A node that takes no new daemon keeps its old one until that is asked to leave.
            continue
        elif podfacts.is_available(old, seconds, now):
            candidates.append(node)
        else:
            changes.create.append(node)
    changes.create += candidates[: max(0, most - surging)]
    return changes
