"""The status of a quota, from all objects of its namespace. Pure."""

from collections.abc import Callable, Iterable
from datetime import datetime

from tiphys.api import core_v1
from tiphys.machinery import quantity
from tiphys.resources import quota as costs

#: Objects that are looked at one by one; of all others only the number counts.
WHOLE = ("persistentvolumeclaims", "pods", "services")


def status(
    quota: core_v1.ResourceQuota,
    whole: Callable[[str], Iterable[object]],
    count: Callable[[str], int | None],
    now: datetime,
) -> core_v1.ResourceQuotaStatus:
    """``whole(plural)`` gives the objects of a resource in ``WHOLE``, ``count(name)`` the number of objects
    by a quota's name for it, None where it is not known."""
    hard = quota.spec.hard or {}
    used: costs.Amounts = dict.fromkeys(hard, "0")
    for plural in WHOLE:
        for obj in whole(plural):
            if costs.applies(quota, "", plural, obj):
                cost = costs.usage("", plural, obj, now)
                used = costs.plus(used, {name: amount for name, amount in cost.items() if name in hard})
    if not quota.spec.scopes and quota.spec.scopeSelector is None:
        for name in hard:
            found = count(name)
            if found is not None:
                used[name] = str(found)
    canonical = {name: quantity.canonical(amount) for name, amount in sorted(used.items())}
    return core_v1.ResourceQuotaStatus(hard=quota.spec.hard, used=canonical or None)


def is_lower(new: core_v1.ResourceQuotaStatus, old: core_v1.ResourceQuotaStatus) -> bool:
    """Whether anything would be given back."""
    before = old.used or {}
    return any(
        name in before and quantity.compare(amount, before[name]) < 0 for name, amount in (new.used or {}).items()
    )
