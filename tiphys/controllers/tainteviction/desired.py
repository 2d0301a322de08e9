"""When a Pod must leave its node. Pure."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from tiphys.api import core_v1
from tiphys.controllers.nodes import tolerates
from tiphys.machinery import times


def leaves_at(pod: core_v1.Pod, taints: Sequence[core_v1.Taint], seen: datetime) -> datetime | None:
    """The instant at which ``pod`` must go from a node with ``taints``; None if it may stay.

    ``seen`` stands in for taints that do not say when they were added. The past means now.
    """
    executing = [taint for taint in taints if taint.effect == "NoExecute"]
    if not executing:
        return None
    seconds: list[int] = []
    for taint in executing:
        tolerating = [t for t in pod.spec.tolerations or () if tolerates(t, taint)]
        if not tolerating:
            return datetime.min.replace(tzinfo=seen.tzinfo)
        seconds.extend(max(0, t.tolerationSeconds) for t in tolerating if t.tolerationSeconds is not None)
    if not seconds:
        return None
    return _added(executing, seen) + timedelta(seconds=min(seconds))


def _added(taints: Iterable[core_v1.Taint], seen: datetime) -> datetime:
    """When the newest of the taints came."""
    return max((times.parse(taint.timeAdded) if taint.timeAdded else seen) for taint in taints)
