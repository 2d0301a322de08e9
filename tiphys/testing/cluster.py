"""A whole cluster in a test: apply, let time pass, look.

```python
with Cluster(nodes=3) as cluster:
    cluster.apply("web.yaml")
    cluster.advance_until("deployment/web", "Available", within="5m")
    assert cluster.get("deployment/web").status.readyReplicas == 3
```

Every call returns once all has happened that could without time passing; time
passes in ``advance`` and ``advance_until`` alone. The same seed gives the same
history, byte for byte.
"""

import asyncio
import builtins
import gc
import math
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

from tiphys.api import core_v1
from tiphys.client import Client
from tiphys.simulation.node import NodeOptions, SimulatedNode
from tiphys.testing import expect, manifests
from tiphys.testing.deadline import Deadline
from tiphys.testing.loop import VirtualLoop
from tiphys.testing.machine import Machine, Options, template
from tiphys.testing.manifests import Manifest
from tiphys.testing.objects import Objects
from tiphys.testing.serving import Serving
from tiphys.testing.transport import Fault, Faults
from tiphys.testing.webhooks import Function, Hook
from tiphys.wire.exchange import UserInfo

T = TypeVar("T")


class Cluster:
    """A context manager; ``start`` and ``close`` where there is no block."""

    def __init__(
        self,
        nodes: int = 1,
        seed: int | str = 0,
        *,
        namespace: str = "default",
        node: NodeOptions | None = None,
        **more: Any,
    ) -> None:
        self.options = Options(nodes, seed, node or NodeOptions(), **more)
        #: Where objects are that name no namespace.
        self.namespace = namespace
        self._loop = VirtualLoop()
        self._machine = Machine(self._loop, self.options, template())
        self._objects: Objects
        self._entered = False
        self._serving: Serving | None = None

    @property
    def seed(self) -> int | str:
        return self.options.seed

    # Life

    def start(self) -> Self:
        with _undisturbed():
            self.run(self._machine.__aenter__())
            self._entered = True
            self._objects = Objects(self._machine.client("test", is_part=False), self.namespace, self._loop.idle)
            self.settle()
        return self

    def close(self) -> None:
        """Stop everything; idempotent."""
        if self._loop.is_closed():
            return
        try:
            if self._serving is not None:
                serving, self._serving = self._serving, None
                serving.close()
            if self._entered:
                self._entered = False
                self._loop.run_until_complete(self._machine.__aexit__(None, None, None))
            left = asyncio.all_tasks(self._loop)
            for task in left:
                task.cancel()
            if left:
                self._loop.run_until_complete(asyncio.wait(left))
        finally:
            self._loop.close()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Time

    @property
    def elapsed(self) -> float:
        """Virtual seconds since the cluster began."""
        return self._loop.elapsed

    @property
    def now(self) -> datetime:
        return self._machine.clock.now()

    def settle(self) -> None:
        """Return once nothing more can happen without time passing."""
        self.run(self._loop.idle())
        self._machine.check()

    def advance(self, time: float | str) -> None:
        """Let ``time`` pass: seconds, or text such as ``5m``."""
        self.run(self._loop.advance(manifests.seconds(time)))
        self._machine.check()

    def advance_until(
        self, reference: str | Callable[[], Any], wanted: expect.Wanted = "exists", *, within: float | str = "5m"
    ) -> Any:
        """Let time pass until an object is as wanted, and return it (None for ``gone``).

        ``wanted`` is a condition (``Available``, ``Ready=False``), a field (``status.phase=Running``),
        ``exists``, ``gone`` or a function of the object; in place of a reference there may be a function of
        nothing. AssertionError, with the object and its Events, if it does not come true ``within`` the time.
        """
        deadline = Deadline(self._loop, manifests.seconds(within), self._serving)
        self._loop.heartbeats.stir(self._loop.elapsed)
        try:
            if callable(reference):
                return self._until_true(reference, deadline)
            return self._run(self._until(reference, wanted, deadline))
        finally:
            deadline.close()

    @contextmanager
    def until(
        self, reference: str | Callable[[], Any], wanted: expect.Wanted = "exists", *, within: float | str = "5m"
    ) -> Iterator[None]:
        """``with cluster.until("deployment/web", "Available"):`` what the block does has to lead there."""
        yield
        self.advance_until(reference, wanted, within=within)

    def _until_true(self, function: Callable[[], Any], deadline: Deadline) -> Any:
        """In the test's own thread, so that the function may use the cluster and wait for others."""
        self._run(self._loop.idle())
        while not (value := function()):
            self._machine.check()
            if deadline.is_over:
                raise AssertionError(self._run(self._disappointment(function, "true")))
            self._run(deadline.step())
        return value

    async def _until(self, reference: str, wanted: expect.Wanted, deadline: Deadline) -> Any:
        await self._loop.idle()
        seen = -1
        while True:
            if self._machine.store.revision != seen:
                seen = self._machine.store.revision
                so, obj = await self._objects.is_so(reference, wanted)
                if so:
                    return obj
            self._machine.check()
            if deadline.is_over:
                raise AssertionError(await self._disappointment(reference, wanted))
            await deadline.step()

    async def _disappointment(self, reference: str | Callable[[], Any], wanted: expect.Wanted) -> str:
        head = f"at {self.now:%Y-%m-%d %H:%M:%S} virtual time (seed {self.seed!r}), {reference} is not {wanted}"
        if callable(reference):
            return head
        return f"{head}\n{await self._objects.disappointment(reference, wanted)}"

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the cluster's virtual time and return its result."""
        self._loop.heartbeats.stir(self._loop.elapsed)
        return self._run(work)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        if self._serving is not None:
            return self._serving.run(work)
        return self._loop.run_until_complete(work)

    def spawn(self, work: Coroutine[Any, Any, T], name: str = "") -> "asyncio.Task[T]":
        """Run a coroutine beside the cluster, such as the operator under test; it ends with the cluster."""

        async def start() -> "asyncio.Task[T]":
            return asyncio.get_running_loop().create_task(work, name=name or None)

        return self.run(start())

    @property
    def kubeconfig(self) -> str:
        """Path of a kubeconfig; from its first use on the cluster is served over HTTPS, and time passes by itself."""
        if self._serving is None:
            serving = Serving(self._loop, self._machine)
            serving.start()
            self._serving = serving
        return str(self._serving.kubeconfig)

    # Objects

    def apply(self, *given: Manifest | Iterable[Manifest]) -> builtins.list[Any]:
        """Create or update what manifests say: YAML text, a path, a dict, a Struct, or lists of these.

        Returns the objects. Raises a StatusError if one is refused.
        """
        found = [obj for one in given for obj in manifests.documents(one)]
        return self._settled(self._objects.apply(found))

    def create(self, *given: Manifest | Iterable[Manifest]) -> builtins.list[Any]:
        """Create; AlreadyExists if there is one. Unlike ``apply`` it knows ``generateName``."""
        found = [obj for one in given for obj in manifests.documents(one)]
        return self._settled(self._objects.create(found))

    def get(self, reference: str, namespace: str = "") -> Any:
        """``get("deployment/web")``; raises NotFound."""
        return self._settled(self._objects.get(reference, namespace))

    def find(self, reference: str, namespace: str = "") -> Any:
        """The object, or None."""
        return self._settled(self._objects.find(reference, namespace))

    def list(self, kind: str | type[T], namespace: str = "", *, labels: str = "", fields: str = "") -> Sequence[Any]:
        """``list("pods", labels="app=web")``; of all namespaces with ``namespace="*"``."""
        return self._settled(self._objects.list(kind, namespace, labels, fields))

    def patch(self, reference: str, change: dict[str, Any], namespace: str = "", *, subresource: str = "") -> Any:
        """A merge patch."""
        return self._settled(self._objects.patch(reference, change, namespace, subresource))

    def scale(self, reference: str, replicas: int, namespace: str = "") -> None:
        self.patch(reference, {"spec": {"replicas": replicas}}, namespace, subresource="scale")

    def delete(
        self,
        reference: str,
        namespace: str = "",
        *,
        grace_period_seconds: int | None = None,
        propagation: Any = None,
    ) -> None:
        work = self._objects.delete(
            reference, namespace, grace_period_seconds=grace_period_seconds, propagation=propagation or "Background"
        )
        self._settled(work)

    def events(self, reference: str = "", *, reason: str = "") -> builtins.list[core_v1.Event]:
        """All Events in the order in which they came, or those about one object, or of one reason."""
        return self._settled(self._objects.events(reference, reason))

    def client(self, user: str = "", groups: tuple[str, ...] = ()) -> Client:
        """Our own client, for coroutines given to ``run`` and ``spawn``; an administrator's unless a user is named."""
        if not user:
            return self._machine.client("test", is_part=False)
        return self._machine.client(user, UserInfo(user, groups=(*groups, "system:authenticated")), is_part=False)

    # Webhooks

    def webhook(self, function: Function, service: str = "", path: str = "/", url: str = "") -> Hook:
        """Let ``function`` answer the webhooks whose configurations name this Service (``name`` or
        ``namespace/name``) and path, or this URL; see ``tiphys.testing.webhooks`` for what it is given and returns.
        """
        return self._machine.webhooks.add(function, service, path, url)

    # Nodes and faults

    @property
    def faults(self) -> Faults:
        return self._machine.faults

    def inject(self, code: int = 0, **fields: Any) -> Fault:
        """``inject(409, verb="update", resource="replicasets", times=3)``; see ``Fault``."""
        return self.faults.inject(Fault(code, **fields))

    def read_stale(self, resource: str = "", component: str = "") -> Fault:
        """Let reads (not watches) see the cluster as it is now, whatever happens, until ``faults.end(fault)``."""
        past = self._machine.store.revision
        return self.inject(resource=resource, component=component, stale_revision=past, times=math.inf)

    def add_nodes(self, count: int) -> None:
        self._settled(self._machine.nodes.add(count))

    def fail_node(self, name: str) -> None:
        """Power off."""
        self._settled(self._node(name).fail())

    def recover_node(self, name: str) -> None:
        """Power on; the kubelet is back after some seconds."""
        self._settled(self._node(name).recover())

    def stop(self, component: str) -> None:
        """Stop ``apiserver`` or ``controllers`` (with the scheduler, as they are one process)."""
        self._settled(self._machine.stop(component))

    def crash(self, component: str) -> None:
        """Stop it in the middle of what it does."""
        self._settled(self._machine.crash(component))

    def restart(self, component: str) -> None:
        """Stop it if it runs, and start it again with what the store holds; it is ready as soon as it can be."""
        self._settled(self._machine.start(component))

    def _node(self, name: str) -> SimulatedNode:
        return self._machine.nodes.by_name[name]

    def skew_clock(self, seconds: float) -> None:
        """Let the wall clock of all machines jump, forwards or back; durations go on as they were."""
        self._machine.clock.skew(seconds)
        self.settle()

    def history(self) -> builtins.list[str]:
        """Every change since the cluster began: revision, what happened, key and the object's JSON."""
        events = self.run(self._machine.history())
        return [
            f"{e.mod_revision} {'delete' if e.deleted else 'put'} {e.key} {e.value.decode(errors='replace')}"
            for e in events
        ]

    @property
    def calls(self) -> int:
        """Requests that the API server has been sent."""
        return self._machine.calls

    # Coroutines

    def _settled(self, work: Coroutine[Any, Any, T]) -> T:
        result = self.run(work)
        self.settle()
        return result


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Without garbage collection: what is made here lives as long as the cluster, and is a lot."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
