"""What the scheduler tells the API: bindings, conditions, evictions, Events."""

import asyncio
import logging
from random import Random

from tiphys.api import core_v1, meta_v1
from tiphys.base.clock import Clock
from tiphys.base.ids import Ids
from tiphys.client import Client, Recorder
from tiphys.machinery import codec, errors
from tiphys.machinery.conditions import find_condition
from tiphys.machinery.times import format_time
from tiphys.scheduler.extended import Extenders
from tiphys.scheduler.extenders import ExtenderError
from tiphys.scheduler.pods import PodInfo
from tiphys.scheduler.preemption import Eviction

logger = logging.getLogger(__name__)
Refused = (errors.StatusError, ConnectionError, ExtenderError)
#: Why a Pod is not scheduled: no node would do, or it could not be carried out.
UNSCHEDULABLE, SCHEDULER_ERROR = "Unschedulable", "SchedulerError"


class Writes:
    """One per scheduler; decides nothing."""

    def __init__(
        self, client: Client, clock: Clock, random: Random, component: str, extenders: Extenders | None = None
    ) -> None:
        self._clock = clock
        self._extenders = extenders or Extenders(())
        self._pods = client.of(core_v1.Pod)
        self.recorder = Recorder(client, clock, Ids(random), component=component)

    async def bind(self, info: PodInfo, node_name: str) -> None:
        """Raises one of ``Refused`` if the Pod has not got the node."""
        meta = info.pod.metadata
        if (extender := self._extenders.binder_of(info)) is not None:
            await extender.bind(info, node_name)
        else:
            binding = core_v1.Binding(
                metadata=meta_v1.ObjectMeta(name=meta.name, namespace=meta.namespace, uid=meta.uid),
                target=core_v1.ObjectReference(kind="Node", name=node_name),
            )
            await self._pods.create_subresource(meta.name, meta.namespace, "binding", binding)
        message = f"Successfully assigned {info.key} to {node_name}"
        self.recorder.event(info.pod, "Normal", "Scheduled", message)

    async def tell_refused(
        self, info: PodInfo, message: str, nominated_node: str | None, reason: str = UNSCHEDULABLE
    ) -> None:
        """Event and condition; ``nominated_node`` is set, or cleared if empty, or left alone if None."""
        self.recorder.event(info.pod, "Warning", "FailedScheduling", message)
        status: dict[str, object] = {}
        told = find_condition(info.pod.status.conditions, "PodScheduled")
        if told is None or told.status != "False" or told.message != message or told.reason != reason:
            since = told.lastTransitionTime if told is not None and told.status == "False" else None
            condition = core_v1.PodCondition(
                type="PodScheduled",
                status="False",
                reason=reason,
                message=message,
                lastTransitionTime=since or format_time(self._clock.now()),
                observedGeneration=info.pod.metadata.generation,
            )
            status["conditions"] = [codec.to_builtins(condition)]
        if nominated_node is not None and nominated_node != (info.pod.status.nominatedNodeName or ""):
            status["nominatedNodeName"] = nominated_node or None
        if status:
            await self._patch_status(info, status)

    async def clear_nomination(self, info: PodInfo) -> None:
        """A more important Pod gets the node that was kept for this one."""
        await self._patch_status(info, {"nominatedNodeName": None})

    async def _patch_status(self, info: PodInfo, status: dict[str, object]) -> None:
        meta = info.pod.metadata
        try:
            await self._pods.patch(
                meta.name, meta.namespace, codec.encode({"status": status}), "strategic", subresource="status"
            )
        except Refused as error:
            logger.info("status of %s not written: %s", info.key, error)

    async def evict(self, preemptor: PodInfo, eviction: Eviction) -> None:
        """Raises StatusError or ConnectionError if a victim stays."""
        await asyncio.gather(*(self._evict(preemptor, victim, eviction) for victim in eviction.victims))

    async def _evict(self, preemptor: PodInfo, victim: PodInfo, eviction: Eviction) -> None:
        meta = victim.pod.metadata
        if meta.deletionTimestamp is not None:
            return
        name = preemptor.pod.spec.schedulerName
        condition = core_v1.PodCondition(
            type="DisruptionTarget",
            status="True",
            reason="PreemptionByScheduler",
            message=f"{name}: preempting to accommodate a higher priority pod",
            lastTransitionTime=format_time(self._clock.now()),
            observedGeneration=meta.generation,
        )
        await self._patch_status(victim, {"conditions": [codec.to_builtins(condition)]})
        try:
            await self._pods.delete(meta.name, meta.namespace, uid=meta.uid)
        except (errors.NotFound, errors.Conflict):
            return
        message = f"Preempted by pod {preemptor.uid} on node {eviction.node_name}"
        self.recorder.event(victim.pod, "Normal", "Preempted", message)
