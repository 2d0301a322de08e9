"""ResourceQuota: what is created is charged to its Namespace's quotas, or refused.

The charge is written into the quota's status, by compare and swap, before the
object is. A crash in between leaves a charge too many, never one too few; the
quota controller counts again and takes it back.
Source: Kubernetes docs, "Resource Quotas"; the ResourceQuota plugin, by behaviour.
"""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, ClassVar, Final, Self
from weakref import WeakValueDictionary

import msgspec

from tiphys.api import core_v1
from tiphys.apiserver.admission.plugin import Plugin, Tools, forbidden
from tiphys.apiserver.seams import Attributes, Objects
from tiphys.base.clock import Clock
from tiphys.machinery import errors, quantity
from tiphys.resources import quota as costs

ATTEMPTS_MAX: Final = 50
#: Resources whose changes cost as well.
CHANGING: Final = (("", "services"), ("", "persistentvolumeclaims"))
QUOTAS: Final = ("", "resourcequotas")


class ResourceQuota(Plugin):
    """Last in the chain: nothing after it may refuse, or the charge would have been for nothing."""

    name: ClassVar = "ResourceQuota"

    @classmethod
    def made(cls, tools: Tools) -> Self:
        return cls(tools.objects, tools.clock)

    def __init__(self, objects: Objects, clock: Clock) -> None:
        self._objects = objects
        self._clock = clock
        #: One charge at a time per Namespace: they would only take turns at the same object.
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def handles(self, attributes: Attributes) -> bool:
        what = (attributes.group, attributes.resource)
        if attributes.subresource:
            return what == ("", "pods") and attributes.subresource == "resize" and attributes.operation == "UPDATE"
        return attributes.operation == "CREATE" or (attributes.operation == "UPDATE" and what in CHANGING)

    def validate(self, attributes: Attributes, obj: Any, old: Any) -> Awaitable[None] | None:
        if not attributes.namespace or not self._objects.all("", "resourcequotas", attributes.namespace):
            return None
        return self._charge(attributes, obj, old)

    async def _charge(self, attributes: Attributes, obj: Any, old: Any) -> None:
        namespace = attributes.namespace
        lock = self._locks.get(namespace)
        if lock is None:
            lock = self._locks[namespace] = asyncio.Lock()
        async with lock:
            paid: set[str] = set()
            for _ in range(ATTEMPTS_MAX):
                if await self._try(attributes, obj, old, paid):
                    return
        raise errors.Conflict("resourcequotas", namespace, "too many others change the quotas of this namespace")

    async def _try(self, attributes: Attributes, obj: Any, old: Any, paid: set[str]) -> bool:
        """Check all quotas, then charge all; False if somebody else changed one meanwhile."""
        bills: list[core_v1.ResourceQuota] = []
        for quota in self._objects.all("", "resourcequotas", attributes.namespace):
            if quota.metadata.name in paid or not costs.applies(quota, attributes.group, attributes.resource, obj):
                continue
            bill = self._bill(attributes, quota, obj, old)
            if bill is not None:
                bills.append(bill)
        if attributes.dry_run:
            return True
        for bill in bills:
            try:
                await self._objects.update(bill, "status")
            except errors.Conflict:
                return False
            except errors.NotFound:
                # A quota that is gone asks for nothing.
                pass
            paid.add(bill.metadata.name)
        return True

    def _bill(
        self, attributes: Attributes, quota: core_v1.ResourceQuota, obj: Any, old: Any
    ) -> core_v1.ResourceQuota | None:
        """The quota with the charge; None if it costs nothing. Raises Forbidden."""
        hard, used = quota.status.hard or {}, quota.status.used or {}
        delta = self._delta(attributes, obj, old, hard)
        name = quota.metadata.name
        if attributes.resource == "pods" and not attributes.group:
            why = costs.unsaid(obj, hard)
            if why:
                raise forbidden(attributes, obj, f"failed quota: {name}: {why}")
        if not delta:
            return None
        unknown = sorted(each for each in delta if each not in used)
        if unknown:
            text = f"status unknown for quota: {name}, resources: {','.join(unknown)}"
            raise forbidden(attributes, obj, text)
        after = costs.plus(used, delta)
        exceeded = [
            each
            for each, amount in delta.items()
            if quantity.compare(amount, "0") > 0 and quantity.compare(after[each], hard[each]) > 0
        ]
        if exceeded:
            parts = (_shown(delta, exceeded), _shown(used, exceeded), _shown(hard, exceeded))
            text = f"exceeded quota: {name}, requested: {parts[0]}, used: {parts[1]}, limited: {parts[2]}"
            raise forbidden(attributes, obj, text)
        status = msgspec.structs.replace(quota.status, used=after)
        return msgspec.structs.replace(quota, status=status)

    def _delta(self, attributes: Attributes, obj: Any, old: Any, hard: Mapping[str, str]) -> dict[str, str]:
        now = self._clock.now()
        cost = costs.usage(attributes.group, attributes.resource, obj, now)
        if old is not None:
            cost = costs.minus(cost, costs.usage(attributes.group, attributes.resource, old, now))
        return {name: amount for name, amount in cost.items() if name in hard and quantity.compare(amount, "0") != 0}


def _shown(amounts: Mapping[str, str], names: Sequence[str]) -> str:
    return ",".join(f"{name}={amounts[name]}" for name in sorted(names))
