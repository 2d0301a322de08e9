"""The kubelet: everything of this package put together over one API and one runtime."""

import asyncio
import logging
import random as random_module
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from tiphys.api import core_v1
from tiphys.base.clock import Clock, RealClock
from tiphys.base.ids import Ids
from tiphys.client import Client, Informer, Informers, Recorder
from tiphys.client.tasks import Tasks
from tiphys.kubelet import admission, machine, names, nodestatus, resize
from tiphys.kubelet import protocol as w
from tiphys.kubelet.agent import PodAgent
from tiphys.kubelet.config import KubeletConfig
from tiphys.kubelet.context import Context
from tiphys.kubelet.cri import CriClient
from tiphys.kubelet.facts import PodFact
from tiphys.kubelet.garbage import Collector
from tiphys.kubelet.images import Images
from tiphys.kubelet.node import Networking, NodeKeeper
from tiphys.kubelet.objects import WatchedObjects
from tiphys.kubelet.observer import Observer
from tiphys.kubelet.prober import Prober
from tiphys.kubelet.rotation import Rotation
from tiphys.kubelet.server import Server
from tiphys.kubelet.tokens import Tokens
from tiphys.kubelet.volumes.manager import VolumeManager

logger = logging.getLogger(__name__)


class Kubelet:
    """``async with``: entered once the Node object is registered and the server listens.

    Leaving it stops the kubelet and leaves the containers alone.
    """

    def __init__(
        self,
        config: KubeletConfig,
        client: Client,
        clock: Clock | None = None,
        ids: Ids | None = None,
        random: random_module.Random | None = None,
        informers: Informers | None = None,
    ) -> None:
        self.config = config
        self._client = client
        self._clock = clock or RealClock()
        self._ids = ids or Ids()
        self._random = random or random_module.Random()
        self._informers = Informers(client, self._clock, self._random)
        #: Those of the process, of which only what others watch as well is taken.
        self._shared = informers
        self._tasks = Tasks()
        self._agents: dict[str, PodAgent] = {}
        #: What the runtime had of Pods that the API has not told of.
        self._found: dict[str, PodFact] = {}
        self._strays = asyncio.Event()
        self._stack = AsyncExitStack()
        self._synced = False

    async def __aenter__(self) -> Self:
        try:
            await self._enter()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def _enter(self) -> None:
        config = self.config
        for directory in (config.root_dir / "pods", config.log_dir / "pods"):
            directory.mkdir(parents=True, exist_ok=True)
        # Secrets lie below it.
        config.root_dir.chmod(0o700)
        facts = config.machine or machine.machine_facts(config.root_dir)
        # Left in the opposite order: nothing is taken away from what still uses it.
        enter = self._stack.enter_async_context
        self._cri = await enter(CriClient(config.cri_socket))
        self._prober = await enter(Prober(self._cri))
        recorder = Recorder(self._client, self._clock, self._ids, component="kubelet", host=config.node_name)
        self._recorder = await enter(recorder)
        self._objects = WatchedObjects(self._client, self._clock, self._random, self._objects_changed)
        self._stack.push_async_callback(self._objects.close)
        self._stack.push_async_callback(self._tasks.close)
        self._stack.callback(self._close_agents)
        tokens = Tokens(self._client, self._clock)
        total = nodestatus.capacity(config, facts)
        shared = self._shared or self._informers
        self.context = Context(
            config=config,
            cri=self._cri,
            client=self._client,
            clock=self._clock,
            random=self._random,
            recorder=self._recorder,
            tasks=self._tasks,
            objects=self._objects,
            tokens=tokens,
            volumes=VolumeManager(self._clock, tokens, config.privileged),
            prober=self._prober,
            images=Images(self._cri, self._clock),
            services=shared.of(core_v1.Service),
            starting=asyncio.Semaphore(config.pods_starting_max),
            runtime_name=(await self._cri.version()).runtime_name,
            memory_capacity=facts.memory_bytes,
            allocatable=nodestatus.allocatable(config, total),
            resolv=names.parse_resolv(_text_of(config)),
        )
        self.server = Server(self.context, self._agents)
        self._stack.push_async_callback(self.server.close)
        await self.server.start()
        networking = Networking(self.context.network_ready, self._set_network_problem)
        self.keeper = NodeKeeper(
            config,
            self._client,
            self._cri,
            self._clock,
            self._recorder,
            facts,
            networking,
            lambda: self.server.port,
        )
        self._observer = Observer(
            self._cri, self._clock, self._seen, config.relist_seconds, config.relist_seconds_without_events
        )
        await self._observer.relist()
        await self.keeper.register()
        self._recorder.event(self.keeper.reference, "Normal", "Starting", "Starting kubelet.")
        self._watch()
        await enter(self._informers)
        self._start_tasks()

    def _close_agents(self) -> None:
        for agent in list(self._agents.values()):
            agent.close()

    def _watch(self) -> None:
        name = self.config.node_name
        self.pods: Informer[core_v1.Pod] = self._informers.of(core_v1.Pod, fields=f"spec.nodeName={name}")
        self.pods.add_handler(added=self._added, updated=self._updated, deleted=self._deleted)
        nodes: Informer[core_v1.Node] = self._informers.of(core_v1.Node, fields=f"metadata.name={name}")
        nodes.add_handler(added=self.keeper.node_changed, updated=lambda _, node: self.keeper.node_changed(node))

    def _start_tasks(self) -> None:
        collector = Collector(self.context, self._agents, self._recorder, self.keeper.reference)
        self._tasks.start(self._observer.follow_events(), name="runtime events")
        self._tasks.start(self._observer.relist_forever(), name="runtime relist")
        self._tasks.start(self.keeper.run(), name="node status")
        self._tasks.start(self.keeper.renew_lease(), name="node lease")
        self._tasks.start(collector.run(), name="garbage")
        self._tasks.start(Rotation(self.context, self._agents).run(), name="log rotation")
        self._tasks.start(self._after_sync(collector), name="orphans")

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def wait(self) -> None:
        """Return only by raising, when the kubelet has failed."""
        waiting = [asyncio.ensure_future(self._tasks.wait()), asyncio.ensure_future(self._informers.wait())]
        try:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in waiting:
                task.cancel()

    def _set_network_problem(self, text: str) -> None:
        self.context.network_problem = text

    # Pods

    def _added(self, pod: core_v1.Pod) -> None:
        known = self._agents.get(pod.metadata.uid)
        if known is not None:
            known.updated(pod)
            self._judge_resizes()
            return
        agent = PodAgent(pod, self.context, self._gone)
        self._agents[pod.metadata.uid] = agent
        facts = self._found.pop(pod.metadata.uid, None)
        if facts is not None:
            agent.post(w.Observed(facts, complete=True))
        refused = None if facts is not None or _is_over(pod) else self._refusal(pod)
        if refused is None:
            agent.post(w.Admitted())
            self._judge_resizes()
            return
        self._recorder.event(pod, "Warning", refused[0], refused[1])
        agent.post(w.Rejected(refused[0], f"Pod was rejected: {refused[1]}"))

    def _judge_resizes(self) -> None:
        """Grant the sizes that Pods ask for, as far as the node has room; what another Pod has freed counts."""
        for agent in list(self._agents.values()):
            if agent.worker.wants_resize:
                desired = agent.worker.desired
                agent.post(w.ResizeJudged(resize.refusal(desired, self._others(agent.uid), self.context.allocatable)))

    def _others(self, uid: str) -> list[core_v1.Pod]:
        """Pods that take up room on the node, with what they were granted."""
        return [
            a.pod
            for a in self._agents.values()
            if a.uid != uid and a.worker.stage in ("active", "ending") and not _is_over(a.pod)
        ]

    def _refusal(self, pod: core_v1.Pod) -> admission.Refusal | None:
        return admission.refusal(pod, self._others(pod.metadata.uid), self.context.allocatable, self.keeper.node)

    def _updated(self, old: core_v1.Pod, pod: core_v1.Pod) -> None:
        if old.metadata.uid != pod.metadata.uid:
            self._deleted(old)
        self._added(pod)

    def _deleted(self, pod: core_v1.Pod) -> None:
        agent = self._agents.get(pod.metadata.uid)
        if agent is not None:
            agent.post(w.Removed())

    def _gone(self, agent: PodAgent) -> None:
        self._agents.pop(agent.uid, None)
        self._judge_resizes()

    def _seen(self, facts: PodFact, complete: bool, asked_at: int) -> None:
        agent = self._agents.get(facts.uid)
        if agent is not None:
            agent.post(w.Observed(facts, complete, asked_at))
        elif not self._synced or (complete and (facts.sandboxes or facts.containers)):
            self._found[facts.uid] = facts
            self._strays.set()

    def _objects_changed(self, users: set[str]) -> None:
        for uid in sorted(users):
            agent = self._agents.get(uid)
            if agent is not None:
                agent.objects_changed()

    async def _after_sync(self, collector: Collector) -> None:
        """Once the API has told of all Pods: what else the runtime has, and what directories are left, go.

        Later too: a runtime that was killed while it made a Pod's sandbox tells of it when the Pod may be gone.
        """
        await self.pods.wait_synced()
        self._synced = True
        while True:
            self._strays.clear()
            found, self._found = self._found, {}
            strays = [facts for uid, facts in found.items() if uid not in self._agents]
            for facts in await collector.remove_orphans(strays):
                self._found[facts.uid] = facts
                self._strays.set()
            await self._strays.wait()
            await self._clock.sleep(self.config.housekeeping_seconds)


def _is_over(pod: core_v1.Pod) -> bool:
    return pod.status.phase in ("Succeeded", "Failed")


def _text_of(config: KubeletConfig) -> str:
    try:
        return config.resolv_conf.read_text()
    except OSError:
        return ""
