"""Wires the garbage collector: every resource's informer to the graph, its conclusions to calls."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

import msgspec

from tiphys.client import Done, Informer, ResourceClient, Result, TerminalError
from tiphys.controllers import discovery
from tiphys.controllers.base import Context, Controller
from tiphys.controllers.garbagecollector.desired import (
    Action,
    Delete,
    DropFinalizer,
    DropOwners,
    Look,
    Orphan,
    OwnerState,
    Propagation,
    Unblock,
    desired,
    own_deletion,
)
from tiphys.controllers.garbagecollector.graph import ORPHAN, Graph, Identity, Node, Owner, Seen
from tiphys.machinery import errors, meta
from tiphys.resources import table

logger = logging.getLogger(__name__)

IGNORED = frozenset({"events", "events.events.k8s.io"})
RETRY_SECONDS = 1.0
#: While some server does not say what it serves it is asked again.
FAILING_RETRY_SECONDS = 30.0
#: Events of these foretell that other resources are served, soon after.
FORETELLING = frozenset(
    {("apiextensions.k8s.io", "CustomResourceDefinition"), ("apiregistration.k8s.io", "APIService")}
)
#: After such an event discovery is read at these distances.
SETTLE_SECONDS = (0.1, 1.0)
#: Owners known to be absent, so that a thousand dependents ask once.
ABSENT_SIZE = 500


class _Meta(msgspec.Struct):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resourceVersion: str = ""
    ownerReferences: list[Owner] = []
    finalizers: list[str] = []
    deletionTimestamp: str | None = None


class Partial(msgspec.Struct):
    """What is kept of objects that no other controller watches."""

    metadata: _Meta = msgspec.field(default_factory=_Meta)


class GarbageCollector(Controller):
    name = "garbagecollector"
    component = "garbage-collector-controller"
    concurrency = 20

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.graph = Graph()
        self._served: dict[tuple[str, str], discovery.Served] = {}
        self._informers: dict[tuple[str, str], Informer[Any]] = {}
        #: Whose objects are of which group and kind; kept when a resource goes, because it may come again.
        self._kinds: dict[Informer[Any], tuple[str, str]] = {}
        self._foretold = asyncio.Event()
        self._absent: OrderedDict[tuple[str, str], None] = OrderedDict()

    async def background(self) -> None:
        """Watch everything, also what is served later. Only now, so that nobody's readiness waits for it."""
        failing = self._keep_up(await self._discovered())
        while True:
            # Whatever is served where nobody answers may own something, or be owned.
            await self._until_foretold(FAILING_RETRY_SECONDS if failing else None)
            for seconds in SETTLE_SECONDS:
                self._foretold.clear()
                await self.clock.sleep(seconds)
                failing = self._keep_up(await self._discovered())

    async def _until_foretold(self, seconds: float | None) -> None:
        waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(self._foretold.wait())]
        if seconds is not None:
            waits.append(asyncio.ensure_future(self.clock.sleep(seconds)))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()

    def _keep_up(self, found: discovery.Discovered) -> bool:
        """Follow what is served and nothing else; whether some server does not say what it serves."""
        wanted = {
            (one.group, one.kind): one
            for one in found.resources
            if {"list", "watch", "delete"} <= one.verbs and one.name not in IGNORED
        }
        silent = {version.partition("/")[0] for version in found.failing}
        for key, resource in list(self._served.items()):
            if wanted.get(key) != resource and not _is_built_in(resource) and (key in wanted or key[0] not in silent):
                self._leave(key)
        for key, resource in wanted.items():
            if key not in self._served:
                self._served[key] = resource
                self._follow(resource)
                self._look(self.graph.of_kind(*key, virtual=True))
        return bool(found.failing)

    def _leave(self, key: tuple[str, str]) -> None:
        """Forget a kind that is no longer served, with all its objects."""
        del self._served[key]
        self.informers.pause(self._informers.pop(key))
        for uid in self.graph.of_kind(*key, virtual=False):
            self._look(self.graph.remove(uid))

    async def _discovered(self) -> discovery.Discovered:
        while True:
            try:
                return await discovery.served(self.client)
            except (errors.StatusError, ConnectionError) as error:
                logger.warning("discovery failed, will be tried again: %s", error)
                await self.clock.sleep(RETRY_SECONDS)

    def _follow(self, resource: discovery.Served) -> None:
        informer = self._shared(resource)
        key = resource.group, resource.kind
        self._informers[key] = informer
        known = informer in self._kinds
        self._kinds[informer] = key
        if known:
            return

        def observe(obj: Any) -> None:
            self._look(self.graph.observe(_seen(*self._kinds[informer], obj)))

        def changed(old: Any, new: Any) -> None:
            if old.metadata.uid != new.metadata.uid:
                self._look(self.graph.remove(old.metadata.uid))
            if _facts(old) != _facts(new):
                observe(new)
            elif (node := self.graph.get(new.metadata.uid)) is not None:
                node.resource_version = new.metadata.resourceVersion

        informer.add_handler(observe, changed, lambda obj: self._look(self.graph.remove(obj.metadata.uid)))
        if key in FORETELLING:
            informer.add_handler(self._foretell, lambda _, new: self._foretell(new), self._foretell)

    def _foretell(self, _: object) -> None:
        self._foretold.set()

    def _shared(self, resource: discovery.Served) -> Informer[Any]:
        """The informer that others use already, or one of our own that keeps little."""
        try:
            found = self.informers.find(table.by_path(resource.group, resource.version, resource.plural).cls)
        except LookupError:
            found = None
        if found is not None:
            return found
        return self.informers.of_resource(
            resource.group, resource.version, resource.plural, resource.namespaced, Partial
        )

    def _look(self, uids: Iterable[str]) -> None:
        for uid in uids:
            self.queue.add(uid)

    # Reconciling

    async def reconcile(self, key: str) -> Result:
        node = self.graph.get(key)
        if node is None:
            return Done()
        if node.virtual:
            if not await self._exists(node.seen.identity, node.seen.identity.namespace):
                self._look(self.graph.remove(key))
            return Done()
        if node.seen.deleting:
            action = own_deletion(node, self.graph)
            if action is not None:
                await self._apply(node, action)
            return Done()
        states = {owner.uid: await self._state(node, owner) for owner in node.seen.owners}
        for action in desired(node, self.graph, states):
            await self._apply(node, action)
        return Done()

    async def _state(self, node: Node, owner: Owner) -> OwnerState:
        """A present owner is believed to the cache, an absent one to the server alone."""
        found = self.graph.get(owner.uid)
        if found is not None and not found.virtual:
            namespace = found.seen.identity.namespace
            # An owner in another namespace is none.
            if not namespace or namespace == node.seen.identity.namespace:
                return "waiting" if found.waits_for_dependents else "solid"
        group = meta.group_of(owner.apiVersion)
        identity = Identity(group, owner.kind, node.seen.identity.namespace, owner.name, owner.uid)
        return "solid" if await self._exists(identity, node.seen.identity.namespace) else "absent"

    async def _exists(self, identity: Identity, namespace: str) -> bool:
        """Whether the very object is on the server. Raises TerminalError for a kind that is not served."""
        absent = (identity.uid, namespace)
        if absent in self._absent:
            return False
        calls = self._calls(identity)
        try:
            there = await calls.get(identity.name, namespace)
        except errors.NotFound:
            there = {}
        if meta.uid_of(there) == identity.uid:
            return True
        self._absent[absent] = None
        if len(self._absent) > ABSENT_SIZE:
            self._absent.popitem(last=False)
        return False

    def _calls(self, identity: Identity) -> ResourceClient[dict[str, Any]]:
        served = self._served.get((identity.group, identity.kind))
        if served is None:
            raise TerminalError(f"unable to get REST mapping for {identity.group}/{identity.kind}")
        return self.client.resource(served.group, served.version, served.plural, served.namespaced)

    async def _apply(self, node: Node, action: Action) -> None:
        match action:
            case Look(uids):
                self._look(uids)
            case Delete(propagation):
                await self._delete(node, propagation)
            case DropOwners(uids):
                await self._drop_owners(node, uids)
            case DropFinalizer(finalizer):
                await self._drop_finalizer(node, finalizer)
            case Orphan(dependents):
                nodes = [found for uid in dependents if (found := self.graph.get(uid)) is not None]
                await asyncio.gather(*(self._drop_owners(dependent, (node.uid,)) for dependent in nodes))
                await self._drop_finalizer(node, ORPHAN)
            case Unblock():
                references = [{"uid": owner.uid, "blockOwnerDeletion": False} for owner in node.seen.owners]
                await self._patch_owners(node, references)

    async def _delete(self, node: Node, propagation: Propagation) -> None:
        identity = node.seen.identity
        try:
            await self._delete_at(identity, node.resource_version, propagation)
        except errors.NotFound:
            self._look(self.graph.remove(identity.uid))
        except errors.Conflict:
            # The object moves faster than its events reach us, as Pods do. What was decided
            # stands as long as its owners are the same.
            there = await self._calls(identity).get(identity.name, identity.namespace)
            owners = {reference.uid for reference in meta.owners_of(there)}
            if meta.uid_of(there) != identity.uid or owners != {owner.uid for owner in node.seen.owners}:
                raise
            await self._delete_at(identity, meta.resource_version_of(there), propagation)

    async def _delete_at(self, identity: Identity, resource_version: str, propagation: Propagation) -> None:
        await self._calls(identity).delete(
            identity.name,
            identity.namespace,
            uid=identity.uid,
            resource_version=resource_version,
            propagation=propagation,
        )

    async def _drop_owners(self, node: Node, uids: Iterable[str]) -> None:
        await self._patch_owners(node, [{"$patch": "delete", "uid": uid} for uid in uids])

    async def _patch_owners(self, node: Node, references: list[dict[str, Any]]) -> None:
        identity = node.seen.identity
        calls = self._calls(identity)
        body = {"metadata": {"ownerReferences": references, "uid": identity.uid}}
        try:
            await calls.patch(identity.name, identity.namespace, body, "strategic")
        except errors.NotFound:
            return
        except errors.UnsupportedMediaType:
            # Custom resources know no strategic merge.
            there = await calls.get(identity.name, identity.namespace)
            merged = _merged(there["metadata"].get("ownerReferences", []), references)
            whole = {
                "ownerReferences": merged,
                "uid": identity.uid,
                "resourceVersion": meta.resource_version_of(there),
            }
            await calls.patch(identity.name, identity.namespace, {"metadata": whole}, "merge")

    async def _drop_finalizer(self, node: Node, finalizer: str) -> None:
        identity = node.seen.identity
        left = [found for found in node.seen.finalizers if found != finalizer]
        body = {"metadata": {"finalizers": left or None, "uid": identity.uid, "resourceVersion": node.resource_version}}
        try:
            await self._calls(identity).patch(identity.name, identity.namespace, body, "merge")
        except errors.NotFound:
            return


def _is_built_in(resource: discovery.Served) -> bool:
    """Such a kind never goes; if discovery has lost it for a moment, all who share its informer must not notice."""
    try:
        table.by_path(resource.group, resource.version, resource.plural)
    except LookupError:
        return False
    return True


def _merged(there: list[dict[str, Any]], references: list[dict[str, Any]]) -> list[dict[str, Any]]:
    changes = {reference["uid"]: reference for reference in references}
    kept = [found for found in there if "$patch" not in changes.get(found["uid"], {})]
    return [{**found, **changes.get(found["uid"], {})} for found in kept]


def _facts(obj: Any) -> tuple[Any, ...]:
    metadata = obj.metadata
    return metadata.ownerReferences, metadata.finalizers, metadata.deletionTimestamp is None


def _seen(group: str, kind: str, obj: Any) -> Seen:
    metadata = obj.metadata
    return Seen(
        Identity(group, kind, metadata.namespace, metadata.name, metadata.uid),
        metadata.resourceVersion,
        tuple(map(_owner, metadata.ownerReferences)),
        tuple(metadata.finalizers),
        metadata.deletionTimestamp is not None,
    )


def _owner(reference: Any) -> Owner:
    if isinstance(reference, Owner):
        return reference
    return Owner(
        reference.apiVersion, reference.kind, reference.name, reference.uid, bool(reference.blockOwnerDeletion)
    )
