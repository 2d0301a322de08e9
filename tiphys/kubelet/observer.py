"""Knows what the runtime has of every Pod: from its stream of events, and by asking for everything now and then.

Events carry the whole state of their Pod, so nothing has to be asked for when
one arrives. The full answer is a safety net, rare while events flow.
"""

import asyncio
import logging
from collections.abc import Callable

from tiphys.base.clock import Clock
from tiphys.kubelet import labels
from tiphys.kubelet.agent import container_fact
from tiphys.kubelet.cri import CriClient, RuntimeFault, sandbox_fact
from tiphys.kubelet.facts import ContainerFact, PodFact, SandboxFact
from tiphys.runtime.cri import api_pb2

logger = logging.getLogger(__name__)

RECONNECT_SECONDS = 0.2
#: By then the stream is open, if the runtime is there at all.
CONNECT_SECONDS = 0.5


class Observer:
    """``seen`` hears of one Pod: its facts, whether they are complete, and when they were asked for."""

    def __init__(
        self,
        cri: CriClient,
        clock: Clock,
        seen: Callable[[PodFact, bool, int], None],
        relist_seconds: float,
        relist_seconds_without_events: float,
    ) -> None:
        self._cri = cri
        self._clock = clock
        self._seen = seen
        self._relist_seconds = relist_seconds
        self._poll_seconds = relist_seconds_without_events
        #: Container id to what was last learnt of it; an ended one is not asked about again.
        self._known: dict[str, ContainerFact] = {}
        self._sandboxes: dict[str, SandboxFact] = {}
        self._pods: set[str] = set()
        self.evented = True

    async def follow_events(self) -> None:
        """Until cancelled. Ends only if the runtime knows no events."""
        while True:
            # What happened before the stream was open was not told.
            listing = asyncio.get_running_loop().create_task(self._relist_soon(), name="relist after connect")
            try:
                async for event in self._cri.events():
                    self._take(event)
            except RuntimeFault as fault:
                if fault.code.name == "UNIMPLEMENTED":
                    logger.info("the runtime sends no events; it is asked every %s s", self._poll_seconds)
                    self.evented = False
                    return
                logger.info("the runtime's events: %s", fault)
            finally:
                listing.cancel()
            await self._clock.sleep(RECONNECT_SECONDS)

    async def _relist_soon(self) -> None:
        await self._clock.sleep(CONNECT_SECONDS)
        await self.try_relist()

    async def relist_forever(self) -> None:
        while True:
            await self._clock.sleep(self._relist_seconds if self.evented else self._poll_seconds)
            await self.try_relist()

    async def try_relist(self) -> None:
        try:
            await self.relist()
        except RuntimeFault as fault:
            logger.info("listing the runtime's containers: %s", fault)

    def _take(self, event: api_pb2.ContainerEventResponse) -> None:
        sandbox = event.pod_sandbox_status
        meta = sandbox.metadata
        if not meta.uid:
            return
        containers = tuple(container_fact(c, sandbox.id) for c in event.containers_statuses)
        for fact in containers:
            self._known[fact.id] = fact
        self._pods.add(meta.uid)
        self._seen(PodFact(meta.uid, meta.namespace, meta.name, (sandbox_fact(sandbox),), containers), False, 0)

    async def relist(self) -> list[PodFact]:
        """Ask for everything and tell of every Pod, also of those that have nothing any more."""
        asked_at = int(self._clock.now().timestamp() * 1e9)
        listed = await self._cri.list_sandboxes()
        containers = await self._cri.list_containers()
        pods: dict[str, tuple[PodFact, list[SandboxFact], list[ContainerFact]]] = {}
        for sandbox in listed:
            meta = sandbox.metadata
            entry = pods.setdefault(meta.uid, (PodFact(meta.uid, meta.namespace, meta.name), [], []))
            entry[1].append(await self._sandbox(sandbox))
        owners = {s.id: s.metadata.uid for s in listed}
        for container in containers:
            uid = container.labels.get(labels.POD_UID, "") or owners.get(container.pod_sandbox_id, "")
            fact = await self._container(container)
            if uid in pods and fact is not None:
                pods[uid][2].append(fact)
        self._known = {c.id: self._known[c.id] for c in containers if c.id in self._known}
        self._sandboxes = {s.id: self._sandboxes[s.id] for s in listed if s.id in self._sandboxes}
        for uid in self._pods - set(pods):
            self._seen(PodFact(uid, "", ""), True, asked_at)
        facts = [
            PodFact(head.uid, head.namespace, head.name, tuple(sandboxes), tuple(found))
            for head, sandboxes, found in pods.values()
        ]
        for fact_of_pod in facts:
            self._seen(fact_of_pod, True, asked_at)
        self._pods = set(pods)
        return facts

    async def _sandbox(self, listed: api_pb2.PodSandbox) -> SandboxFact:
        ready = listed.state == api_pb2.SANDBOX_READY
        known = self._sandboxes.get(listed.id)
        if known is None or known.ready != ready:
            try:
                known = await self._cri.sandbox(listed.id)
            except RuntimeFault:
                known = SandboxFact(listed.id, False, listed.metadata.attempt, listed.created_at)
            self._sandboxes[listed.id] = known
        return known

    async def _container(self, listed: api_pb2.Container) -> ContainerFact | None:
        known = self._known.get(listed.id)
        ended = listed.state == api_pb2.CONTAINER_EXITED
        if known is not None and (known.state == "exited") == ended and known.state != "created":
            return known
        try:
            status = await self._cri.container_status(listed.id)
        except RuntimeFault:
            return known
        fact = container_fact(status, listed.pod_sandbox_id)
        self._known[listed.id] = fact
        return fact
