"""The scheduler's wiring: events into the table and the queue, decisions out as bindings.

Decisions are made one after another, each on top of the ones before, which are
assumed to succeed; bindings are written side by side. A binding that fails is
taken back and its Pod tried again after a pause.
"""

import asyncio
import logging
from random import Random
from types import TracebackType

from tiphys.api import core_v1
from tiphys.base.clock import Clock
from tiphys.client import Client, Informers
from tiphys.client.tasks import Tasks
from tiphys.scheduler.attempts import Attempts
from tiphys.scheduler.binding import Binder
from tiphys.scheduler.claims import Claims
from tiphys.scheduler.classes import Classes
from tiphys.scheduler.cluster import InformedVolumes, follow_budgets, follow_namespaces
from tiphys.scheduler.config import Config
from tiphys.scheduler.deviceclaims import DeviceClaims, InformedDevices
from tiphys.scheduler.events import ClusterEvent, NodeChanged, PodGone, PodPlaced
from tiphys.scheduler.extended import Extenders
from tiphys.scheduler.extenders import Extender
from tiphys.scheduler.gangs import Gangs
from tiphys.scheduler.groups import Groups
from tiphys.scheduler.held import Held
from tiphys.scheduler.metrics import Metrics
from tiphys.scheduler.nodes import NodeTable
from tiphys.scheduler.pods import PodInfo, pod_info
from tiphys.scheduler.queue import SchedulingQueue
from tiphys.scheduler.slots import Slots
from tiphys.scheduler.writes import Writes

logger = logging.getLogger(__name__)
#: Decisions between two looks at what else the event loop has to do.
BURST = 16


class Scheduler:
    """``async with`` it; ready when its caches have synced."""

    def __init__(self, config: Config, client: Client, informers: Informers, clock: Clock, random: Random) -> None:
        self._config = config
        self._clock = clock
        self._informers = informers
        self._extenders = Extenders([Extender(each) for each in config.extenders])
        self._writes = Writes(client, clock, random, config.profiles[0].name, self._extenders)
        self._nodes = NodeTable()
        self._queue = SchedulingQueue(config)
        self.metrics = Metrics(self._pending)
        groups, volumes = Groups(informers), InformedVolumes(informers, self._happened)
        devices = InformedDevices(informers, self._devices_changed)
        device_claims = DeviceClaims(client, devices)
        self._gangs = Gangs(informers, client, clock, self._release)
        self._held = Held((device_claims.held, self._gangs.held))
        self._profiles = {profile.name: profile for profile in config.profiles}
        self._classes = {
            profile.name: Classes(self._nodes, profile.plugins(groups.selectors, volumes, devices))
            for profile in config.profiles
        }
        self._bindings = Slots(config.bindings_max)
        self._tasks = Tasks()
        self._wake = asyncio.Event()
        self._binder = Binder(self._nodes, self._queue, self._writes, self.metrics, clock, self._happened)
        #: Pods that have a node and wait for leave to take it.
        self.waiting = self._binder.waiting
        built_in = (Claims(client, clock, volumes), device_claims)
        self._attempts = Attempts(
            nodes=self._nodes,
            queue=self._queue,
            profiles=self._profiles,
            classes=self._classes,
            hooks={profile.name: (*built_in, *profile.hooks(self.waiting)) for profile in config.profiles},
            binder=self._binder,
            writes=self._writes,
            metrics=self.metrics,
            budgets=follow_budgets(informers),
            device_claims=device_claims,
            gangs=self._gangs,
            bindings=self._bindings,
            tasks=self._tasks,
            clock=clock,
            retry_all=self._retry_all,
        )
        follow_namespaces(informers, self._nodes, self._happened)
        nodes = informers.of(core_v1.Node)
        nodes.add_handler(self._node_added, self._node_updated, self._node_deleted)
        informers.of(core_v1.Pod).add_handler(self._pod_added, self._pod_updated, self._pod_deleted)

    def _pending(self) -> dict[str, int]:
        return self._queue.counts() | {"gated": len(self._held)}

    async def __aenter__(self) -> "Scheduler":
        await self._informers.wait_synced()
        await self._writes.recorder.__aenter__()
        self._tasks.start(self._run(), name="scheduler")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._tasks.close()
        await self._extenders.close()
        await self._writes.recorder.__aexit__(kind, error, trace)

    async def wait(self) -> None:
        """Return only by raising, when scheduling has failed."""
        await self._tasks.wait()

    # Events

    def _node_added(self, node: core_v1.Node) -> None:
        self._nodes.set_node(node)
        self._happened(NodeChanged(node))

    def _node_updated(self, old: core_v1.Node, new: core_v1.Node) -> None:
        # A heartbeat changes nothing that decisions are made of.
        if (
            old.spec != new.spec
            or old.metadata.labels != new.metadata.labels
            or old.status.allocatable != new.status.allocatable
        ):
            self._node_added(new)
        elif old.status.images != new.status.images:
            self._nodes.set_images(new)

    def _node_deleted(self, node: core_v1.Node) -> None:
        self._nodes.remove_node(node.metadata.name)

    def _pod_added(self, pod: core_v1.Pod) -> None:
        uid = pod.metadata.uid
        if pod.status.phase in ("Succeeded", "Failed"):
            self._gone(uid)
            return
        if pod.spec.schedulingGroup is not None:
            self._gangs.follow(pod)
            self._release()
        if pod.spec.nodeName:
            self._binder.assumed.discard(uid)
            self._dequeue(uid)
            info = pod_info(pod)
            self._nodes.place(info, pod.spec.nodeName)
            self._happened(PodPlaced(info))
        elif self._is_ours(pod):
            if uid not in self._binder.assumed:
                self._offer(pod_info(pod))
        else:
            self._dequeue(uid)

    def _offer(self, info: PodInfo) -> None:
        """Queue the Pod, unless something keeps it from being tried at all."""
        if self._held.holds(info):
            self._withhold(info.uid)
        else:
            self._enqueue(info)

    def _release(self) -> None:
        """Queue those that nothing keeps any longer."""
        for info in self._held.released():
            self._enqueue(info)

    def _devices_changed(self, event: ClusterEvent) -> None:
        self._release()
        self._happened(event)

    def _pod_updated(self, old: core_v1.Pod, new: core_v1.Pod) -> None:
        if old.metadata.uid != new.metadata.uid:
            self._pod_deleted(old)
        elif _same_to_us(old, new):
            self._note(new)
            return
        self._pod_added(new)

    def _note(self, pod: core_v1.Pod) -> None:
        """Take over of an unimportant change what may matter later."""
        known = self._nodes.find_placed(pod.metadata.uid) or self._queue.find(pod.metadata.uid)
        if known is None:
            return
        known.pod = pod
        if (started := pod.status.startTime or "") != known.started:
            known.started = started
            self._nodes.touch(known)

    def _pod_deleted(self, pod: core_v1.Pod) -> None:
        self._gone(pod.metadata.uid)

    def _gone(self, uid: str) -> None:
        self._gangs.forget(uid)
        self._binder.assumed.discard(uid)
        self.waiting.reject(uid, "", "pod deleted")
        self._dequeue(uid)
        info = self._nodes.remove(uid)
        if info is not None:
            self._happened(PodGone(info))

    def _enqueue(self, info: PodInfo) -> None:
        if info.nominated_node and not self._nodes.nomination(info.uid):
            # Somebody, perhaps we before a restart, has cleared a node for it.
            self._nodes.nominate(info, info.nominated_node)
        if self._queue.find(info.uid) is None:
            self.metrics.arrived()
        self._queue.add(info, self._clock.monotonic())
        self._wake.set()

    def _dequeue(self, uid: str) -> None:
        self._held.forget(uid)
        self._withhold(uid)

    def _withhold(self, uid: str) -> None:
        self._queue.remove(uid)
        if self._nodes.withdraw(uid):
            self._retry_all()

    def _is_ours(self, pod: core_v1.Pod) -> bool:
        return pod.spec.schedulerName in self._profiles and pod.metadata.deletionTimestamp is None

    def _happened(self, event: ClusterEvent) -> None:
        """Wake the refused Pods that the event may help, as the plugins that refused them see it."""
        kind = type(event)

        def concerned(names: frozenset[str]) -> bool:
            # Without any node there is nobody to refuse.
            return not names or any(
                kind in plugin.wakes and plugin.name in names
                for classes in self._classes.values()
                for plugin in classes.plugins
            )

        def helped(info: PodInfo, names: frozenset[str]) -> bool:
            plugins = self._classes[info.pod.spec.schedulerName or ""].plugins
            return not names or any(
                plugin.name in names and kind in plugin.wakes and plugin.helped_by(info, event) for plugin in plugins
            )

        self._queue.move(concerned, helped)
        self._wake.set()

    def _retry_all(self) -> None:
        self._queue.move_all()
        self._wake.set()

    # Scheduling

    async def _run(self) -> None:
        extended = bool(self._config.extenders)
        while True:
            self._wake.clear()
            self._queue.tick(self._clock.monotonic())
            for _ in range(BURST):
                info = self._queue.pop()
                if info is None:
                    break
                await self._bindings.acquire()
                if extended and (asked := self._extenders.of(info)):
                    await self._attempts.attempt_extended(info, asked)
                else:
                    self._attempts.attempt(info)
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


def _same_to_us(old: core_v1.Pod, new: core_v1.Pod) -> bool:
    """Whether a change, such as a status or our own condition, concerns no decision."""
    return (
        old.spec.nodeName == new.spec.nodeName
        and old.metadata.deletionTimestamp == new.metadata.deletionTimestamp
        and old.metadata.labels == new.metadata.labels
        and new.status.phase not in ("Succeeded", "Failed")
        and old.spec == new.spec
        and old.status.resourceClaimStatuses == new.status.resourceClaimStatuses
    )
