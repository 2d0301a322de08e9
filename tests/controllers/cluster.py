"""A real API server in memory with real controllers, and a way to wait for what they do.

Waiting is driven by the watch: a condition is looked at after every event, never after a sleep.
"""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from tiphys.api import apps_v1, core_v1, meta_v1
from tiphys.apiserver import ApiServer, ApiServerConfig
from tiphys.base.clock import RealClock
from tiphys.client import Client, Informer, Informers, InProcessTransport
from tiphys.controllers.config import Config
from tiphys.controllers.loop import Controllers
from tiphys.machinery import errors, meta, times
from tiphys.store.memory import MemoryStore
from tiphys.wire.exchange import UserInfo

T = TypeVar("T")

TIMEOUT_SECONDS = 10.0


class ShiftedClock(RealClock):
    """The real clock, which a test may move forward; sleepers are woken."""

    def __init__(self) -> None:
        self.shift = 0.0
        self._moved = asyncio.Event()

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.shift)

    def monotonic(self) -> float:
        return super().monotonic() + self.shift

    async def sleep(self, seconds: float) -> None:
        due = self.monotonic() + seconds
        while (left := due - self.monotonic()) > 0:
            moved = self._moved
            try:
                await asyncio.wait_for(moved.wait(), left)
            except TimeoutError:
                return

    def advance(self, seconds: float) -> None:
        self.shift += seconds
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()


class Cluster:
    """``async with``; ``client`` speaks to the server, ``until`` waits."""

    def __init__(self, config: Config | None = None, user: UserInfo | None = None, **options: Any) -> None:
        self.clock = ShiftedClock()
        self.store = MemoryStore()
        self.api = ApiServer(ApiServerConfig(), self.store, clock=self.clock, **options)
        self.client = Client(InProcessTransport(self.api.handle))
        self._manager = Client(InProcessTransport(self.api.handle, user))
        self.config = config or Config(root_ca="-----BEGIN CERTIFICATE-----\n")
        self.watch = Informers(self.client, self.clock)
        self._changed = asyncio.Event()
        self._stack = AsyncExitStack()
        self.controllers: Controllers

    async def __aenter__(self) -> "Cluster":
        await self._stack.enter_async_context(self.api)
        await self._stack.enter_async_context(self.watch)
        with suppress(errors.AlreadyExists):
            await self.create(core_v1.Namespace(metadata=meta_v1.ObjectMeta(name="default")))
        self.controllers = Controllers(self.config, self._manager, self.clock)
        await self._stack.enter_async_context(self.controllers)
        return self

    async def __aexit__(self, *problem: object) -> None:
        await self._stack.aclose()

    async def create(self, obj: T) -> T:
        return await self.client.of(type(obj)).create(obj)

    async def change(self, cls: type[T], name: str, change: Callable[[T], None], subresource: str = "") -> T:
        """Get, change and write, again if another writes at the same time."""
        calls = self.client.of(cls)
        while True:
            obj = await calls.get(name, "default")
            change(obj)
            try:
                return await calls.update(obj, subresource=subresource)
            except errors.Conflict:
                continue

    def all(self, cls: type[T]) -> list[T]:
        return self.watch.of(cls).list()

    async def until(self, condition: Callable[[], Any], *kinds: type[Any]) -> Any:
        """The condition's value once it is true; it is looked at after each event of ``kinds``."""
        for kind in kinds:
            informer = self.watch.of(kind)
            informer.add_handler(self._tick, lambda _, new: self._tick(new), self._tick)
            await informer.wait_synced()
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                while not (value := condition()):
                    self._changed.clear()
                    await self._changed.wait()
                return value
        except TimeoutError:
            raise AssertionError(
                "never came true; there is: "
                + ", ".join(f"{type(obj).__name__} {obj.metadata.name}" for kind in kinds for obj in self.all(kind))
            ) from None

    async def caught_up(self, informer: Informer[Any]) -> None:
        """Return once ``informer`` holds all that the server has now, in these versions or newer ones."""
        page = await informer.resource.list(informer.selection.namespace)
        wanted = {meta.key_of(obj): int(meta.resource_version_of(obj)) for obj in page.items}
        informer.add_handler(self._tick, lambda _, new: self._tick(new), self._tick)
        await self.until(
            lambda: all(
                (found := informer.get(key)) is not None and int(meta.resource_version_of(found)) >= version
                for key, version in wanted.items()
            )
        )

    def _tick(self, _: object) -> None:
        self._changed.set()

    async def mark_ready(self, *pods: core_v1.Pod, node: str = "n1") -> None:
        """What a kubelet would say of running Pods."""
        now = meta_now(self.clock)
        for number, pod in enumerate(pods):
            body = {
                "status": {
                    "phase": "Running",
                    "podIP": f"10.0.0.{number + 1}",
                    "podIPs": [{"ip": f"10.0.0.{number + 1}"}],
                    "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": now}],
                }
            }
            await self.client.of(core_v1.Pod).patch(
                pod.metadata.name, pod.metadata.namespace, body, "merge", subresource="status"
            )

    def active_pods(self, *, image: str = "") -> list[core_v1.Pod]:
        return [
            pod
            for pod in self.all(core_v1.Pod)
            if pod.metadata.deletionTimestamp is None and (not image or pod.spec.containers[0].image == image)
        ]


def meta_now(clock: RealClock) -> str:
    return times.format_time(clock.now())


def template(image: str = "nginx:1") -> core_v1.PodTemplateSpec:
    return core_v1.PodTemplateSpec(
        metadata=meta_v1.ObjectMeta(labels={"app": "web"}),
        spec=core_v1.PodSpec(containers=[core_v1.Container(name="c", image=image)], terminationGracePeriodSeconds=0),
    )


def replica_set(name: str = "web", replicas: int = 3, **spec: Any) -> apps_v1.ReplicaSet:
    return apps_v1.ReplicaSet(
        metadata=meta_v1.ObjectMeta(name=name, namespace="default", labels={"app": "web"}),
        spec=apps_v1.ReplicaSetSpec(
            replicas=replicas,
            selector=meta_v1.LabelSelector(matchLabels={"app": "web"}),
            template=template(),
            **spec,
        ),
    )


def deployment(name: str = "web", replicas: int = 3, image: str = "nginx:1", **spec: Any) -> apps_v1.Deployment:
    return apps_v1.Deployment(
        metadata=meta_v1.ObjectMeta(name=name, namespace="default", labels={"app": "web"}),
        spec=apps_v1.DeploymentSpec(
            replicas=replicas,
            selector=meta_v1.LabelSelector(matchLabels={"app": "web"}),
            template=template(image),
            **spec,
        ),
    )
