"""Wires the quota controller: what comes and goes in a namespace is counted again."""

import asyncio
import logging
from collections.abc import Iterable
from functools import partial
from typing import Any

import msgspec

from tiphys.api import core_v1
from tiphys.client import Done, Informer, RequeueAfter, Result
from tiphys.controllers import discovery
from tiphys.controllers.base import Context, Controller, either
from tiphys.controllers.garbagecollector.controller import Partial
from tiphys.controllers.resourcequota import desired
from tiphys.machinery import errors, meta
from tiphys.resources import quota as costs
from tiphys.resources import table

logger = logging.getLogger(__name__)

#: Events of one namespace within this time are counted together.
BATCH_SECONDS = 0.1
#: Before anything is given back, the quota must have been left alone for so long: what was
#: charged a moment ago may not be in our cache yet.
CALM_SECONDS = 0.5
RESYNC_SECONDS = 300.0
#: Not worth counting, and many.
UNCOUNTED = ("events",)
#: How quotas name the number of objects of a resource.
COUNT = "count/"
#: A quota may count what is only defined later.
UNKNOWN_RETRY_SECONDS = 10.0


class ResourceQuotaController(Controller):
    name = "resourcequota"
    component = "resourcequota-controller"
    concurrency = 5

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.quotas = self.informers.of(core_v1.ResourceQuota)
        self._calls = self.client.of(core_v1.ResourceQuota)
        self._whole: dict[str, Informer[Any]] = {
            "pods": self.informers.of(core_v1.Pod),
            "services": self.informers.of(core_v1.Service),
            "persistentvolumeclaims": self.informers.of(core_v1.PersistentVolumeClaim),
        }
        self._counted = self._counters()
        #: Counters that quotas name and nobody follows yet.
        self._wanted: dict[str, None] = {}
        self._named = asyncio.Event()
        #: Per quota, the version in which something was first found to be given back.
        self._calm: dict[str, str] = {}
        self.quotas.add_index("namespace", _namespace)
        self.quotas.add_handler(self.enqueue, either(self.enqueue))
        self.quotas.add_handler(self._name, lambda _, new: self._name(new))
        for plural, informer in self._whole.items():
            informer.add_index("quota", _namespace)
            informer.add_handler(self._changed, partial(self._updated, plural), self._changed)
        for informer in {id(each): each for each in self._counted.values()}.values():
            if informer not in self._whole.values():
                informer.add_index("quota", _namespace)
                informer.add_handler(added=self._changed, deleted=self._changed)

    def _counters(self) -> dict[str, Informer[Any]]:
        """By every name under which a quota can count a resource."""
        found: dict[str, Informer[Any]] = {}
        for row in table.RESOURCES:
            if row.virtual or not row.namespaced or row.plural in UNCOUNTED or "list" not in row.verbs:
                continue
            name = costs.counter(row.group, row.plural)
            if name in found:
                continue
            informer = self.informers.find(row.cls)
            if informer is None:
                informer = self.informers.of_resource(row.group, row.version, row.plural, True, Partial)
            found[name] = informer
            if not row.group and row.plural in costs.BARE:
                found[row.plural] = informer
        return found

    # Custom resources, which no table knows

    def _name(self, quota: core_v1.ResourceQuota) -> None:
        """Note what a quota counts that is not followed."""
        unknown = [name for name in quota.spec.hard or () if name.startswith(COUNT) and name not in self._counted]
        if unknown:
            self._wanted.update(dict.fromkeys(unknown))
            self._named.set()

    async def background(self) -> None:
        """Follow custom resources once a quota counts them."""
        while True:
            await self._named.wait()
            self._named.clear()
            while self._wanted:
                try:
                    self._find(await discovery.served(self.client))
                except (errors.StatusError, ConnectionError) as error:
                    logger.warning("discovery failed, will be tried again: %s", error)
                if self._wanted:
                    # Not defined yet, perhaps.
                    await self.clock.sleep(UNKNOWN_RETRY_SECONDS)

    def _find(self, found: discovery.Discovered) -> None:
        for one in found.resources:
            name = costs.counter(one.group, one.plural)
            if name in self._wanted and one.namespaced and {"list", "watch"} <= one.verbs:
                del self._wanted[name]
                informer = self.informers.of_resource(one.group, one.version, one.plural, True, Partial)
                informer.add_index("quota", _namespace)
                informer.add_handler(added=self._changed, deleted=self._changed)
                self._counted[name] = informer
                for quota in self.quotas.list():
                    if name in (quota.spec.hard or ()):
                        self.queue.add(meta.key_of(quota))

    # Events

    def _changed(self, obj: Any) -> None:
        for quota in self.quotas.by_index("namespace", obj.metadata.namespace):
            self.queue.add_after(meta.key_of(quota), BATCH_SECONDS)

    def _updated(self, plural: str, old: Any, new: Any) -> None:
        if not self.quotas.index_keys("namespace", new.metadata.namespace):
            return
        now = self.clock.now()
        if costs.usage("", plural, old, now) != costs.usage("", plural, new, now):
            self._changed(new)

    # Reconciling

    async def reconcile(self, key: str) -> Result:
        quota = self.quotas.get(key)
        if quota is None:
            self._calm.pop(key, None)
            return Done()
        new = desired.status(
            quota,
            partial(self._objects, quota.metadata.namespace),
            partial(self._count, quota.metadata.namespace),
            self.clock.now(),
        )
        if new == quota.status:
            self._calm.pop(key, None)
            return RequeueAfter(RESYNC_SECONDS)
        version = quota.metadata.resourceVersion
        if quota.status.hard == new.hard and desired.is_lower(new, quota.status) and self._calm.get(key) != version:
            self._calm[key] = version
            return RequeueAfter(CALM_SECONDS)
        self._calm.pop(key, None)
        try:
            # With its version: what is charged meanwhile must not be forgotten.
            await self._calls.update_status(msgspec.structs.replace(quota, status=new))
        except errors.NotFound:
            return Done()
        return RequeueAfter(RESYNC_SECONDS)

    def _objects(self, namespace: str, plural: str) -> Iterable[object]:
        return self._whole[plural].by_index("quota", namespace)

    def _count(self, namespace: str, name: str) -> int | None:
        if name == "pods":
            # Finished ones do not count here; they have been looked at one by one.
            return None
        informer = self._counted.get(name)
        return len(informer.index_keys("quota", namespace)) if informer is not None else None


def _namespace(obj: Any) -> tuple[str, ...]:
    return (obj.metadata.namespace,)
