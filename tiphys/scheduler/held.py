"""Pods that are not to be tried yet: gated, or without something that must be there before any node is looked at.

Source: Kubernetes docs, "Pod Scheduling Readiness"; "Scheduling Framework", "PreEnqueue".
"""

from collections.abc import Callable, Sequence

from tiphys.api import core_v1
from tiphys.scheduler.pods import PodInfo

#: Why a Pod is held, or nothing.
Reason = Callable[[core_v1.Pod, PodInfo], str]


class Held:
    """One per scheduler; ``reasons`` are asked in their order."""

    def __init__(self, reasons: Sequence[Reason]) -> None:
        self._reasons = (_gates, *reasons)
        self._infos: dict[str, PodInfo] = {}

    def __len__(self) -> int:
        return len(self._infos)

    def holds(self, info: PodInfo) -> bool:
        """Whether the Pod must wait; it is then remembered."""
        held = any(reason(info.pod, info) for reason in self._reasons)
        if held:
            self._infos[info.uid] = info
        else:
            self._infos.pop(info.uid, None)
        return held

    def released(self) -> list[PodInfo]:
        """Those that need not wait any longer; they are forgotten here."""
        return [info for info in list(self._infos.values()) if not self.holds(info)]

    def forget(self, uid: str) -> None:
        self._infos.pop(uid, None)


def _gates(pod: core_v1.Pod, _: PodInfo) -> str:
    return "waiting for scheduling gates" if pod.spec.schedulingGates else ""
