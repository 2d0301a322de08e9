"""The devices that a node can reach, by the pools that drivers publish in slices."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from tiphys.api import core_v1, resource_v1
from tiphys.scheduler.plugins.node_affinity import selector_matches

#: Driver, pool, device.
Id = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A device and the slice that tells of it."""

    id: Id
    device: resource_v1.Device
    slice: resource_v1.ResourceSlice


@dataclass(slots=True)
class Pool:
    """Slices of one generation. ``complete``: all of them are there, so that nothing is missing or told twice."""

    driver: str
    name: str
    complete: bool
    candidates: list[Candidate] = field(default_factory=list)
    #: By set and counter, what there is for all devices together.
    counters: dict[tuple[str, str], str] = field(default_factory=dict)


def pools_of(slices: Iterable[resource_v1.ResourceSlice], node: core_v1.Node) -> list[Pool]:
    """Pools with a device that the node reaches, in the order of their drivers and names."""
    by_pool: dict[tuple[str, str], list[resource_v1.ResourceSlice]] = {}
    for each in slices:
        by_pool.setdefault((each.spec.driver, each.spec.pool.name), []).append(each)
    made = (_pool(key, by_pool[key], node) for key in sorted(by_pool))
    return [pool for pool in made if pool.candidates]


def _pool(key: tuple[str, str], slices: Sequence[resource_v1.ResourceSlice], node: core_v1.Node) -> Pool:
    driver, name = key
    newest = max(each.spec.pool.generation for each in slices)
    current = sorted(
        (each for each in slices if each.spec.pool.generation == newest), key=lambda each: each.metadata.name
    )
    names = [device.name for each in current for device in each.spec.devices or ()]
    complete = len(current) == current[0].spec.pool.resourceSliceCount and len(names) == len(set(names))
    pool = Pool(driver, name, complete)
    for each in current:
        for counters in each.spec.sharedCounters or ():
            for counter, amount in counters.counters.items():
                pool.counters[counters.name, counter] = amount.value or "0"
        pool.candidates.extend(_reachable(each, node))
    return pool


def _reachable(found: resource_v1.ResourceSlice, node: core_v1.Node) -> Iterator[Candidate]:
    spec = found.spec
    if not spec.perDeviceNodeSelection and not _reaches(spec, node):
        return
    for device in spec.devices or ():
        if not spec.perDeviceNodeSelection or _reaches(device, node):
            yield Candidate((spec.driver, spec.pool.name, device.name), device, found)


def _reaches(place: resource_v1.ResourceSliceSpec | resource_v1.Device, node: core_v1.Node) -> bool:
    if place.nodeName:
        return place.nodeName == node.metadata.name
    if place.allNodes:
        return True
    return place.nodeSelector is not None and selector_matches(place.nodeSelector.nodeSelectorTerms, node)
