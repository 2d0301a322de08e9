"""Wires the namespace controller: Pods go first, then everything else, then the namespace itself."""

import asyncio
from collections.abc import Iterable

import msgspec

from tiphys.api import core_v1
from tiphys.client import Done, RequeueAfter, Result
from tiphys.controllers import discovery
from tiphys.controllers.base import Context, Controller
from tiphys.controllers.namespace.desired import FINALIZER, Remains, status
from tiphys.machinery import errors

#: Waits between looks at content that does not go, doubling.
FIRST_WAIT_SECONDS = 0.1
LAST_WAIT_SECONDS = 15.0


class _Meta(msgspec.Struct):
    name: str = ""
    finalizers: list[str] = []
    deletionGracePeriodSeconds: int | None = None


class _Item(msgspec.Struct):
    metadata: _Meta = msgspec.field(default_factory=_Meta)


class _List(msgspec.Struct):
    items: list[_Item] | None = None


_list = msgspec.json.Decoder(_List)


class NamespaceController(Controller):
    name = "namespace"
    component = "namespace-controller"
    concurrency = 10

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.namespaces = self.informers.of(core_v1.Namespace)
        self.pods = self.informers.of(core_v1.Pod)
        self._client = self.client.of(core_v1.Namespace)
        self._waits: dict[str, float] = {}
        self.namespaces.add_handler(self._changed, lambda _, new: self._changed(new), self._gone)
        self.pods.add_handler(deleted=self._pod_deleted)

    def _changed(self, namespace: core_v1.Namespace) -> None:
        if namespace.metadata.deletionTimestamp is not None:
            self.enqueue(namespace)

    def _gone(self, namespace: core_v1.Namespace) -> None:
        self._waits.pop(namespace.metadata.name, None)

    def _pod_deleted(self, pod: core_v1.Pod) -> None:
        """Sooner than its grace period foretold."""
        namespace = self.namespaces.get(pod.metadata.namespace)
        if namespace is not None and namespace.metadata.deletionTimestamp is not None:
            self.queue.add(namespace.metadata.name)

    async def reconcile(self, key: str) -> Result:
        namespace = self.namespaces.get(key)
        if namespace is None or namespace.metadata.deletionTimestamp is None:
            return Done()
        if FINALIZER not in (namespace.spec.finalizers or ()):
            return Done()
        remains = await self._empty(key)
        new = status(namespace, remains, self.clock.now())
        try:
            if not remains.empty:
                if new != namespace.status:
                    await self._client.update_status(msgspec.structs.replace(namespace, status=new))
                return RequeueAfter(self._wait(key, remains))
            await self._finalize(namespace)
        except errors.NotFound:
            pass
        return Done()

    async def _finalize(self, namespace: core_v1.Namespace) -> None:
        """Take our finalizer away; the server removes the namespace with the last one."""
        left = [finalizer for finalizer in namespace.spec.finalizers or () if finalizer != FINALIZER]
        spec = msgspec.structs.replace(namespace.spec, finalizers=left or None)
        await self._client.update(msgspec.structs.replace(namespace, spec=spec), subresource="finalize")

    def _wait(self, key: str, remains: Remains) -> float:
        if remains.grace_seconds and not remains.finalizers:
            return remains.grace_seconds / 2 + 1
        wait = self._waits.get(key, FIRST_WAIT_SECONDS)
        self._waits[key] = min(wait * 2, LAST_WAIT_SECONDS)
        return wait

    async def _empty(self, name: str) -> Remains:
        """Ask everything in the namespace to go; what is left of it."""
        discovered = await discovery.served(self.client)
        content = [found for found in discovered.resources if found.namespaced and {"list", "delete"} <= found.verbs]
        remains = Remains(undiscovered=discovered.failing)
        pods = [found for found in content if found.name == "pods"]
        # Pods first: what they rely on, network policies for one, must outlive them.
        await self._delete_all(name, pods, remains)
        if not remains.counts and not remains.failures:
            # Events are looked at last: the others' end makes some.
            events = [found for found in content if found.plural == "events"]
            await self._delete_all(name, (f for f in content if f not in pods and f not in events), remains)
            await self._delete_all(name, events, remains)
        return remains

    async def _delete_all(self, name: str, resources: Iterable[discovery.Served], remains: Remains) -> None:
        await asyncio.gather(*(self._delete_kind(name, resource, remains) for resource in resources))

    async def _delete_kind(self, name: str, resource: discovery.Served, remains: Remains) -> None:
        calls = self.client.resource(resource.group, resource.version, resource.plural, True)
        path = calls.path(name)
        try:
            if not _list.decode(await self.client.request("GET", path)).items:
                return
            if "deletecollection" in resource.verbs:
                await calls.delete_collection(name, propagation="Background")
            left = _list.decode(await self.client.request("GET", path)).items or []
            if "deletecollection" not in resource.verbs:
                for item in left:
                    await calls.delete(item.metadata.name, name, propagation="Background")
        except (errors.NotFound, errors.MethodNotAllowed):
            return
        except errors.StatusError as error:
            remains.failures.append(f"{resource.name}: {error}")
            return
        _count(resource.name, left, remains)


def _count(name: str, left: list[_Item], remains: Remains) -> None:
    if not left:
        return
    remains.counts[name] = len(left)
    for item in left:
        for finalizer in item.metadata.finalizers:
            remains.finalizers[finalizer] = remains.finalizers.get(finalizer, 0) + 1
        remains.grace_seconds = max(remains.grace_seconds, item.metadata.deletionGracePeriodSeconds or 0)
