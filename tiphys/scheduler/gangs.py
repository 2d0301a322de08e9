"""Pods that are scheduled together or not at all: the gang policy of a PodGroup.

All waiting Pods of a group are decided one after another, each on top of those
before, and only then is anything carried out: if with them at least ``minCount``
Pods of the group have a node. If room has to be made first, all wait for it.
Source: KEP-4671 Gang Scheduling using Workload Object.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from tiphys.api import core_v1, meta_v1, scheduling_v1alpha2
from tiphys.base.clock import Clock
from tiphys.client import Client, Informer, Informers
from tiphys.machinery import codec
from tiphys.machinery.times import format_time
from tiphys.scheduler.pods import PodInfo
from tiphys.scheduler.writes import Refused

logger = logging.getLogger(__name__)

UNSCHEDULABLE = "pod group is unschedulable"
#: Of Pods that have a place while too few others of their group have one.
TOO_FEW = f"{UNSCHEDULABLE}, waiting for minCount pods from a gang to be scheduled"
PREEMPTING = f"{UNSCHEDULABLE}, pod group is waiting for preemption to complete"
CONDITION = "PodGroupScheduled"


@dataclass(frozen=True, slots=True)
class Gang:
    """One group with the gang policy."""

    group: scheduling_v1alpha2.PodGroup
    least: int


def group_key(pod: core_v1.Pod) -> str:
    """``namespace/name`` of the Pod's group; empty if it has none."""
    group = pod.spec.schedulingGroup
    return f"{pod.metadata.namespace}/{group.podGroupName}" if group is not None and group.podGroupName else ""


class Gangs:
    """Groups and their Pods. Groups are followed from the first Pod on that has one: their API is off by default."""

    def __init__(self, informers: Informers, client: Client, clock: Clock, changed: Callable[[], None]) -> None:
        self._informers = informers
        self._calls = client.of(scheduling_v1alpha2.PodGroup)
        self._clock = clock
        self._changed = changed
        self._groups: Informer[scheduling_v1alpha2.PodGroup] | None = None
        #: Uids of Pods that are there and have not finished, by group.
        self._members: dict[str, set[str]] = {}
        self._group_of: dict[str, str] = {}

    def follow(self, pod: core_v1.Pod) -> None:
        """A Pod is there; those held for want of it may go on."""
        key = group_key(pod)
        if not key or pod.metadata.uid in self._group_of:
            return
        self._group_of[pod.metadata.uid] = key
        self._members.setdefault(key, set()).add(pod.metadata.uid)
        if self._groups is None:
            self._groups = self._informers.of(scheduling_v1alpha2.PodGroup)
            self._groups.add_handler(lambda _: self._changed(), lambda _, __: self._changed())

    def forget(self, uid: str) -> None:
        """The Pod is gone or has finished."""
        key = self._group_of.pop(uid, "")
        if key:
            self._members[key].discard(uid)
            if not self._members[key]:
                del self._members[key]

    def members(self, pod: core_v1.Pod) -> list[str]:
        """Uids of all Pods of the Pod's group, in a fixed order."""
        return sorted(self._members.get(group_key(pod), ()))

    def find(self, pod: core_v1.Pod) -> Gang | None:
        """The Pod's group, if that is a gang."""
        key = group_key(pod)
        group = self._groups.get(key) if key and self._groups is not None else None
        if group is None or group.spec.schedulingPolicy.gang is None:
            return None
        return Gang(group, group.spec.schedulingPolicy.gang.minCount)

    def held(self, pod: core_v1.Pod, _: PodInfo) -> str:
        """Why the Pod must wait for its group."""
        key = group_key(pod)
        if not key:
            return ""
        if self._groups is None or self._groups.get(key) is None:
            return f'waiting for pod\'s pod group "{key.partition("/")[2]}" to appear in scheduling queue'
        gang = self.find(pod)
        if gang is not None and len(self.members(pod)) < gang.least:
            return "waiting for minCount pods from a gang to appear in scheduling queue"
        return ""

    async def tell(self, gang: Gang, reason: str, message: str) -> None:
        """The group's condition. One that was scheduled once stays scheduled, whatever becomes of further Pods."""
        group = gang.group
        conditions = [c for c in group.status.conditions or () if c.type != CONDITION]
        old = next((c for c in group.status.conditions or () if c.type == CONDITION), None)
        status = "True" if reason == "Scheduled" else "False"
        if old is not None and (old.status == "True" or (old.status, old.message) == (status, message)):
            return
        made = meta_v1.Condition(
            type=CONDITION,
            status=status,
            reason=reason,
            message=message,
            observedGeneration=group.metadata.generation,
            lastTransitionTime=format_time(self._clock.now()),
        )
        if old is not None and old.status == status:
            made.lastTransitionTime = old.lastTransitionTime
        body = codec.encode({"status": {"conditions": [codec.to_builtins(c) for c in (*conditions, made)]}})
        try:
            await self._calls.patch(group.metadata.name, group.metadata.namespace, body, "merge", subresource="status")
        except Refused as error:
            logger.info("status of pod group %s not written: %s", group.metadata.name, error)
