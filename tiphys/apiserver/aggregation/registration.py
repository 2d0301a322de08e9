"""APIServices of what this server itself serves: made, kept and removed as the catalog says.

Those of built-in versions are made at each start and may be deleted until the
next; those of custom resources exist exactly while their version is served.
Whoever removes the label that says so takes an APIService over.
Source: kube-aggregator's autoregister controller, by behaviour.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

from tiphys.api import apiregistration_v1, meta_v1
from tiphys.apiserver.aggregation.catalog import Catalog
from tiphys.apiserver.seams import Objects
from tiphys.base.clock import Clock
from tiphys.machinery import codec, errors, times
from tiphys.machinery.conditions import find_condition
from tiphys.resources.apiregistration.api_service import AVAILABLE, GROUP, local_condition

log = logging.getLogger(__name__)

PLURAL: Final = "apiservices"
MANAGED: Final = "kube-aggregator.kubernetes.io/automanaged"
ON_START: Final = "onstart"
ALWAYS: Final = "true"

APIService = apiregistration_v1.APIService


def wanted(catalog: Catalog) -> dict[str, APIService]:
    """One for each version that is served here, by name; the aggregation layer's own has none."""
    found = {}
    for group in catalog.groups():
        for version in catalog.versions(group):
            served = catalog.served(group, version)
            if not served or group == GROUP:
                continue
            priority = catalog.priority(group, version)
            managed = ON_START if any(one.built_in for one in served) else ALWAYS
            name = f"{version}.{group}"
            spec = apiregistration_v1.APIServiceSpec(
                version=version, groupPriorityMinimum=priority.group, versionPriority=priority.version
            )
            if group:
                spec.group = group
            found[name] = APIService(metadata=meta_v1.ObjectMeta(name=name, labels={MANAGED: managed}), spec=spec)
    return found


@dataclass(slots=True)
class Plan:
    """What to write."""

    create: list[APIService] = field(default_factory=list)
    update: list[APIService] = field(default_factory=list)
    delete: list[str] = field(default_factory=list)


def plan(desired: Mapping[str, APIService], existing: Iterable[APIService], *, starting: bool) -> Plan:
    """From what there is to what there should be. Pure."""
    found = Plan()
    there = {one.metadata.name: one for one in existing}
    for name, one in desired.items():
        old = there.get(name)
        if old is None:
            if starting or one.metadata.labels[MANAGED] == ALWAYS:
                found.create.append(one)
            continue
        if _is_ours(old, starting) and (old.spec, old.metadata.labels[MANAGED]) != (
            one.spec,
            one.metadata.labels[MANAGED],
        ):
            new = codec.copy(old)
            new.spec = one.spec
            new.metadata.labels = {**old.metadata.labels, MANAGED: one.metadata.labels[MANAGED]}
            found.update.append(new)
    for name, old in there.items():
        if name not in desired and _is_ours(old, starting):
            found.delete.append(name)
    return found


def _is_ours(one: APIService, starting: bool) -> bool:
    """Whether we may change it now."""
    managed = one.metadata.labels.get(MANAGED)
    return managed == ALWAYS or (managed == ON_START and starting)


class Registration:
    """Keeps them."""

    def __init__(self, objects: Objects, catalog: Catalog, clock: Clock) -> None:
        self._objects = objects
        self._catalog = catalog
        self._clock = clock
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def keeping(self) -> AsyncIterator[None]:
        """Up to date on entry, and kept so inside."""
        self._catalog.subscribe(lambda group: self._changed.set())
        self._objects.subscribe(GROUP, PLURAL, lambda new, old: self._changed.set())
        await self._write(starting=True)
        task = asyncio.create_task(self._follow(), name="apiservice-registration")
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _follow(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._write(starting=False)

    async def _write(self, *, starting: bool) -> None:
        existing = self._objects.all(GROUP, PLURAL)
        found = plan(wanted(self._catalog), existing, starting=starting)
        works: list[Awaitable[Any]] = [self._objects.create(one) for one in found.create]
        works += [self._objects.update(one) for one in found.update]
        works += [self._objects.delete(GROUP, PLURAL, "", name) for name in found.delete]
        works += [self._objects.update(one, "status") for one in self._without_condition(existing)]
        for problem in await asyncio.gather(*works, return_exceptions=True):
            if isinstance(problem, errors.AlreadyExists | errors.NotFound | errors.Conflict):
                # Somebody else was faster; his change brings us here again.
                continue
            if isinstance(problem, Exception):
                log.warning("APIService cannot be written", exc_info=problem)

    def _without_condition(self, existing: Iterable[APIService]) -> Iterable[APIService]:
        """Local ones that do not say so, because they were not local before."""
        for one in existing:
            condition = find_condition(one.status.conditions, AVAILABLE)
            if one.spec.service is None and (condition is None or condition.reason != "Local"):
                mine = codec.copy(one)
                mine.status.conditions = [local_condition(times.format_time(self._clock.now()))]
                yield mine
