"""The scheduler's wiring: events into the table and the queue, decisions out as bindings.

Decisions are made one after another, each on top of the ones before, which are
assumed to succeed; bindings are written side by side. A binding that fails is
taken back and its Pod tried again after a pause.
"""

import asyncio
import logging
from collections.abc import Coroutine
from random import Random
from types import TracebackType
from typing import Any

from tiphys.api import core_v1, meta_v1
from tiphys.base.clock import Clock
from tiphys.base.ids import Ids
from tiphys.client import Client, Informers, Recorder
from tiphys.client.tasks import Tasks
from tiphys.machinery import codec, errors
from tiphys.machinery.conditions import find_condition
from tiphys.machinery.times import format_time
from tiphys.scheduler.classes import Classes
from tiphys.scheduler.config import Config
from tiphys.scheduler.cycle import Placement, Refusal, decide
from tiphys.scheduler.groups import Groups
from tiphys.scheduler.nodes import NodeTable
from tiphys.scheduler.pods import PodInfo, pod_info
from tiphys.scheduler.queue import SchedulingQueue

logger = logging.getLogger(__name__)
#: Decisions between two looks at what else the event loop has to do.
BURST = 16


class Scheduler:
    """``async with`` it; ready when its caches have synced."""

    def __init__(self, config: Config, client: Client, informers: Informers, clock: Clock, random: Random) -> None:
        self._config = config
        self._clock = clock
        self._informers = informers
        self._pods = client.of(core_v1.Pod)
        self._recorder = Recorder(client, clock, Ids(random), component=config.scheduler_name)
        self._nodes = NodeTable()
        self._queue = SchedulingQueue(config)
        self._groups = Groups(informers)
        self._classes = Classes(self._nodes, self._groups.selectors)
        self._bindings = asyncio.Semaphore(config.bindings_max)
        #: Pods whose binding is under way, by uid: the informer does not show their node yet.
        self._assumed: set[str] = set()
        self._wake = asyncio.Event()
        self._tasks = Tasks()
        nodes = informers.of(core_v1.Node)
        nodes.add_handler(self._node_added, self._node_updated, self._node_deleted)
        informers.of(core_v1.Pod).add_handler(self._pod_added, self._pod_updated, self._pod_deleted)

    async def __aenter__(self) -> "Scheduler":
        await self._informers.wait_synced()
        await self._recorder.__aenter__()
        self._tasks.start(self._run(), name="scheduler")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._tasks.close()
        await self._recorder.__aexit__(kind, error, trace)

    async def wait(self) -> None:
        """Return only by raising, when scheduling has failed."""
        await self._tasks.wait()

    # Events

    def _node_added(self, node: core_v1.Node) -> None:
        self._nodes.set_node(node)
        self._retry_refused()

    def _node_updated(self, old: core_v1.Node, new: core_v1.Node) -> None:
        # A heartbeat changes nothing that decisions are made of.
        if (
            old.spec != new.spec
            or old.metadata.labels != new.metadata.labels
            or old.status.allocatable != new.status.allocatable
        ):
            self._node_added(new)

    def _node_deleted(self, node: core_v1.Node) -> None:
        self._nodes.remove_node(node.metadata.name)

    def _pod_added(self, pod: core_v1.Pod) -> None:
        uid = pod.metadata.uid
        if pod.status.phase in ("Succeeded", "Failed"):
            self._gone(uid)
        elif pod.spec.nodeName:
            self._assumed.discard(uid)
            self._queue.remove(uid)
            self._nodes.place(pod_info(pod), pod.spec.nodeName)
        elif self._is_ours(pod) and uid not in self._assumed:
            self._queue.add(pod_info(pod))
            self._wake.set()

    def _pod_updated(self, old: core_v1.Pod, new: core_v1.Pod) -> None:
        if old.metadata.uid != new.metadata.uid:
            self._pod_deleted(old)
        elif _same_to_us(old, new):
            return
        self._pod_added(new)

    def _pod_deleted(self, pod: core_v1.Pod) -> None:
        self._gone(pod.metadata.uid)

    def _gone(self, uid: str) -> None:
        self._assumed.discard(uid)
        self._queue.remove(uid)
        if self._nodes.remove(uid) is not None:
            self._retry_refused()

    def _is_ours(self, pod: core_v1.Pod) -> bool:
        return (
            pod.spec.schedulerName == self._config.scheduler_name
            and pod.metadata.deletionTimestamp is None
            and not pod.spec.schedulingGates
        )

    def _retry_refused(self) -> None:
        self._queue.move_all()
        self._wake.set()

    # Scheduling

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            self._queue.tick(self._clock.monotonic())
            for _ in range(BURST):
                info = self._queue.pop()
                if info is None:
                    break
                await self._bindings.acquire()
                self._schedule(info)
            if self._queue.has_active:
                await asyncio.sleep(0)
            else:
                await self._rest()

    async def _rest(self) -> None:
        """Until an event, or until a pause is over."""
        due = self._queue.next_tick()
        if due is None:
            await self._wake.wait()
            return
        timer = asyncio.ensure_future(self._clock.sleep(max(0.0, due - self._clock.monotonic())))
        woken = asyncio.ensure_future(self._wake.wait())
        try:
            await asyncio.wait((timer, woken), return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
            woken.cancel()

    def _schedule(self, info: PodInfo) -> None:
        """Decide for one Pod and start to write what was decided."""
        decision = decide(info, self._classes.of(info), self._nodes)
        match decision:
            case Placement(node_name):
                self._assumed.add(info.uid)
                self._nodes.place(info, node_name)
                self._start(self._bind(info, node_name), info)
            case Refusal(message):
                self._queue.refused(info.uid, self._clock.monotonic())
                self._start(self._tell_refused(info, message), info)

    def _start(self, work: Coroutine[Any, Any, None], info: PodInfo) -> None:
        task = self._tasks.start(work, name=f"schedule {info.key}")
        task.add_done_callback(lambda _: self._bindings.release())

    async def _bind(self, info: PodInfo, node_name: str) -> None:
        meta = info.pod.metadata
        binding = core_v1.Binding(
            metadata=meta_v1.ObjectMeta(name=meta.name, namespace=meta.namespace, uid=meta.uid),
            target=core_v1.ObjectReference(kind="Node", name=node_name),
        )
        try:
            await self._pods.create_subresource(meta.name, meta.namespace, "binding", binding)
        except (errors.StatusError, ConnectionError) as error:
            self._take_back(info, error)
            return
        self._queue.remove(info.uid)
        message = f"Successfully assigned {info.key} to {node_name}"
        self._recorder.event(info.pod, "Normal", "Scheduled", message)

    def _take_back(self, info: PodInfo, error: Exception) -> None:
        """The binding failed: the room on the node is free again."""
        if info.uid not in self._assumed:
            # Meanwhile bound by someone else, or gone: the informer has told us so.
            return
        self._assumed.discard(info.uid)
        self._nodes.remove(info.uid)
        info.node_name = ""
        if isinstance(error, errors.NotFound):
            self._queue.remove(info.uid)
            return
        logger.warning("binding %s failed: %s", info.key, error)
        self._queue.failed(info.uid, self._clock.monotonic())
        self._wake.set()

    async def _tell_refused(self, info: PodInfo, message: str) -> None:
        self._recorder.event(info.pod, "Warning", "FailedScheduling", message)
        told = find_condition(info.pod.status.conditions, "PodScheduled")
        if told is not None and told.status == "False" and told.message == message:
            return
        condition = core_v1.PodCondition(
            type="PodScheduled",
            status="False",
            reason="Unschedulable",
            message=message,
            lastTransitionTime=format_time(self._clock.now()),
            observedGeneration=info.pod.metadata.generation,
        )
        body = codec.encode({"status": {"conditions": [codec.to_builtins(condition)]}})
        meta = info.pod.metadata
        try:
            await self._pods.patch(meta.name, meta.namespace, body, "strategic", subresource="status")
        except (errors.StatusError, ConnectionError) as error:
            logger.info("condition of %s not written: %s", info.key, error)


def _same_to_us(old: core_v1.Pod, new: core_v1.Pod) -> bool:
    """Whether a change, such as a status or our own condition, concerns no decision."""
    return (
        old.spec.nodeName == new.spec.nodeName
        and old.metadata.deletionTimestamp == new.metadata.deletionTimestamp
        and old.metadata.labels == new.metadata.labels
        and new.status.phase not in ("Succeeded", "Failed")
        and old.spec == new.spec
    )
