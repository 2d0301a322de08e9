"""Which devices a node gives to the claims of a Pod: the first combination, in a fixed order, that fits.

A search that goes back where it is stuck: claims, their requests and the requests' alternatives in the order in
which they are written, devices in that of pools, slices and lists. All of a Pod's claims are given devices together,
or none.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from tiphys.api import core_v1, resource_v1
from tiphys.machinery import quantity
from tiphys.scheduler.devices.inventory import Candidate, Id, Pool, pools_of
from tiphys.scheduler.devices.selectors import SelectorError, find_attribute, matches, plain_value

#: Devices in one claim's result.
RESULTS_MAX: Final = 32
#: Devices looked at in one search; a search that needs more has found nothing.
STEPS_MAX: Final = 100_000
Request = resource_v1.ExactDeviceRequest | resource_v1.DeviceSubRequest
FindClass = Callable[[str], resource_v1.DeviceClass | None]


class AllocationError(Exception):
    """Something about a claim or a class is wrong, so that no node will ever do."""


@dataclass(frozen=True, slots=True)
class Given:
    """A device that a request has got. ``request`` is ``name``, or ``name/alternative``."""

    request: str
    candidate: Candidate
    asked: Request

    @property
    def for_admin(self) -> bool:
        return isinstance(self.asked, resource_v1.ExactDeviceRequest) and bool(self.asked.adminAccess)


@dataclass(slots=True)
class _Search:
    claims: Sequence[resource_v1.ResourceClaim]
    pools: Sequence[Pool]
    find_class: FindClass
    taken: set[Id]
    #: Used of each pool's counters, those of devices that are taken included.
    used: dict[tuple[str, str, str, str], Decimal]
    given: list[list[Given]] = field(default_factory=list)
    steps: int = 0
    known: dict[tuple[int, Id], bool] = field(default_factory=dict)


def allocate(
    claims: Sequence[resource_v1.ResourceClaim],
    slices: Sequence[resource_v1.ResourceSlice],
    taken: frozenset[Id],
    find_class: FindClass,
    node: core_v1.Node,
) -> list[list[Given]] | None:
    """What each claim gets on a node, or None. Raises AllocationError."""
    pools = pools_of(slices, node)
    search = _Search(claims, pools, find_class, set(taken), _used(pools, taken))
    search.given = [[] for _ in claims]
    try:
        found = _claim(search, 0)
    except SelectorError as error:
        raise AllocationError(str(error)) from error
    return search.given if found else None


def _used(pools: Sequence[Pool], taken: frozenset[Id]) -> dict[tuple[str, str, str, str], Decimal]:
    used: dict[tuple[str, str, str, str], Decimal] = {}
    for pool in pools:
        for candidate in pool.candidates:
            if candidate.id in taken:
                _consume(used, candidate, 1)
    return used


def _consume(used: dict[tuple[str, str, str, str], Decimal], candidate: Candidate, sign: int) -> None:
    driver, pool, _ = candidate.id
    for consumption in candidate.device.consumesCounters or ():
        for name, amount in consumption.counters.items():
            key = (driver, pool, consumption.counterSet, name)
            used[key] = used.get(key, Decimal(0)) + sign * quantity.parse(amount.value or "0")


def _claim(search: _Search, number: int) -> bool:
    """Find devices for the claims from ``number`` on."""
    if number == len(search.claims):
        return True
    return _request(search, number, 0)


def _request(search: _Search, claim: int, number: int) -> bool:
    """Find devices for a claim's requests from ``number`` on, and for all later claims."""
    devices = search.claims[claim].spec.devices
    requests = (devices.requests if devices else None) or []
    if number == len(requests):
        return _claim(search, claim + 1)
    request = requests[number]
    after = lambda: _request(search, claim, number + 1)
    for name, asked in alternatives(request):
        if asked.allocationMode == "All":
            if _all(search, claim, name, asked, after):
                return True
        elif _some(search, claim, name, asked, int(asked.count or 1), after):
            return True
    return False


def alternatives(request: resource_v1.DeviceRequest) -> Iterator[tuple[str, Request]]:
    """What would satisfy a request, best first, with the name under which it is told."""
    if request.exactly is not None:
        yield request.name, request.exactly
    for sub in request.firstAvailable or ():
        yield f"{request.name}/{sub.name}", sub


def _all(search: _Search, claim: int, name: str, asked: Request, after: Callable[[], bool]) -> bool:
    """Every device that is selected, of pools that are known completely."""
    if not all(pool.complete for pool in search.pools):
        return False
    wanted = [c for pool in search.pools for c in pool.candidates if _selected(search, asked, c)]
    if not wanted:
        return False
    done: list[Given] = []
    for candidate in wanted:
        if (given := _give(search, claim, name, asked, candidate)) is None:
            break
        done.append(given)
    if len(done) == len(wanted) and after():
        return True
    for given in reversed(done):
        _take_back(search, claim, given)
    return False


def _some(search: _Search, claim: int, name: str, asked: Request, left: int, after: Callable[[], bool]) -> bool:
    if left == 0:
        return after()
    for pool in search.pools:
        for candidate in pool.candidates if pool.complete else ():
            search.steps += 1
            if search.steps > STEPS_MAX:
                return False
            given = _give(search, claim, name, asked, candidate) if _selected(search, asked, candidate) else None
            if given is None:
                continue
            if _some(search, claim, name, asked, left - 1, after):
                return True
            _take_back(search, claim, given)
    return False


def _selected(search: _Search, asked: Request, candidate: Candidate) -> bool:
    key = (id(asked), candidate.id)
    if (known := search.known.get(key)) is None:
        found = search.find_class(asked.deviceClassName)
        if found is None:
            raise AllocationError(f"device class {asked.deviceClassName} does not exist")
        selectors = (*(found.spec.selectors or ()), *(asked.selectors or ()))
        expressions = [selector.cel.expression for selector in selectors if selector.cel is not None]
        known = search.known[key] = all(matches(expression, candidate) for expression in expressions)
    return known


def _give(search: _Search, claim: int, name: str, asked: Request, candidate: Candidate) -> Given | None:
    given = Given(name, candidate, asked)
    mine = search.given[claim]
    if len(mine) >= RESULTS_MAX or not _tolerates(asked, candidate.device):
        return None
    if given.for_admin:
        # Whoever administers sees devices that others use, but each once.
        if any(other.request == name and other.candidate.id == candidate.id for other in mine):
            return None
    elif candidate.id in search.taken or not _counters_left(search, candidate):
        return None
    mine.append(given)
    if not _constraints_hold(search.claims[claim], mine):
        mine.pop()
        return None
    if not given.for_admin:
        search.taken.add(candidate.id)
        _consume(search.used, candidate, 1)
    return given


def _take_back(search: _Search, claim: int, given: Given) -> None:
    search.given[claim].remove(given)
    if not given.for_admin:
        search.taken.discard(given.candidate.id)
        _consume(search.used, given.candidate, -1)


def _counters_left(search: _Search, candidate: Candidate) -> bool:
    if not candidate.device.consumesCounters:
        return True
    driver, name, _ = candidate.id
    pool = next(pool for pool in search.pools if (pool.driver, pool.name) == (driver, name))
    for consumption in candidate.device.consumesCounters:
        for counter, amount in consumption.counters.items():
            there = quantity.parse(pool.counters.get((consumption.counterSet, counter), "0"))
            used = search.used.get((driver, name, consumption.counterSet, counter), Decimal(0))
            if used + quantity.parse(amount.value or "0") > there:
                return False
    return True


def _tolerates(asked: Request, device: resource_v1.Device) -> bool:
    return all(
        taint.effect not in ("NoSchedule", "NoExecute")
        or any(_tolerated(toleration, taint) for toleration in asked.tolerations or ())
        for taint in device.taints or ()
    )


def _tolerated(toleration: resource_v1.DeviceToleration, taint: resource_v1.DeviceTaint) -> bool:
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    return toleration.operator == "Exists" or (toleration.value or "") == (taint.value or "")


def _constraints_hold(claim: resource_v1.ResourceClaim, given: Sequence[Given]) -> bool:
    devices = claim.spec.devices
    for constraint in (devices.constraints if devices else None) or ():
        concerned = [one for one in given if concerns(constraint.requests, one.request)]
        name = constraint.matchAttribute or constraint.distinctAttribute or ""
        found = [find_attribute(one.candidate, name) for one in concerned]
        values = [plain_value(attribute) for attribute in found if attribute is not None]
        if len(values) < len(concerned):
            return False
        if constraint.matchAttribute and any(value != values[0] for value in values):
            return False
        if constraint.distinctAttribute and any(value in values[:i] for i, value in enumerate(values)):
            return False
    return True


def concerns(requests: Sequence[str] | None, request: str) -> bool:
    """Whether a list of requests names this one; a request's name stands for all its alternatives."""
    return not requests or request in requests or request.partition("/")[0] in requests


def taken_by(claims: Mapping[str, resource_v1.AllocationResult]) -> frozenset[Id]:
    """Devices that allocations hold; those that an administrator looks at stay free for others."""
    return frozenset(
        (result.driver, result.pool, result.device)
        for allocation in claims.values()
        for result in (allocation.devices.results if allocation.devices else None) or ()
        if not result.adminAccess
    )
