"""Allocation of devices against its slow definition: any combination of devices that meets every rule."""

import itertools
import random
from collections.abc import Iterator
from typing import Any

import pytest

from tests.scheduler.test_cycle import node
from tiphys.api import resource_v1
from tiphys.machinery import codec
from tiphys.scheduler.devices.allocator import Given, allocate, taken_by
from tiphys.scheduler.devices.inventory import Id

DRIVER = "d.example.com"
CLASS = resource_v1.DeviceClass()
Device = dict[str, Any]


class Dice:
    """An inventory and claims out of one seed, small enough that everything is in short supply."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def devices(self, pool: str) -> list[Device]:
        made = []
        for number in range(self._random.randint(1, 3)):
            attributes = {"model": {"string": self._random.choice("ab")}}
            if self._random.random() < 0.8:
                attributes["rack"] = {"int": self._random.randint(0, 1)}
            device: Device = {"name": f"{pool}-{number}", "attributes": attributes}
            if self._random.random() < 0.2:
                device["taints"] = [{"key": "k", "effect": self._random.choice(["NoSchedule", "None"])}]
            if self._random.random() < 0.4:
                counters = {"slots": {"value": str(self._random.randint(1, 2))}}
                device["consumesCounters"] = [{"counterSet": "set", "counters": counters}]
            made.append(device)
        return made

    def slices(self) -> list[dict[str, Any]]:
        made = []
        for pool in ("p", "q"):
            place = self._random.choice([{"nodeName": "n"}, {"allNodes": True}, {"nodeName": "other"}])
            count = self._random.choice([1, 1, 1, 2])
            counters = [{"name": "set", "counters": {"slots": {"value": "2"}}}]
            spec = {"driver": DRIVER, "devices": self.devices(pool), "sharedCounters": counters}
            spec |= {"pool": {"name": pool, "generation": 1, "resourceSliceCount": count}} | place
            made.append({"metadata": {"name": f"slice-{pool}"}, "spec": spec})
        return made

    def exact(self) -> dict[str, Any]:
        made: dict[str, Any] = {"deviceClassName": "c"}
        if self._random.random() < 0.4:
            text = f'device.attributes["{DRIVER}"].model == "{self._random.choice("ab")}"'
            made["selectors"] = [{"cel": {"expression": text}}]
        if self._random.random() < 0.15:
            made["allocationMode"] = "All"
        else:
            made |= {"allocationMode": "ExactCount", "count": self._random.choice([1, 1, 2])}
        if self._random.random() < 0.3:
            made["tolerations"] = [{"key": "k", "operator": "Exists"}]
        return made

    def claim(self, name: str) -> dict[str, Any]:
        requests = []
        for number in range(self._random.randint(1, 2)):
            if self._random.random() < 0.3:
                subs = [{"name": f"s{i}"} | self.exact() for i in range(2)]
                requests.append({"name": f"r{number}", "firstAvailable": subs})
            else:
                requests.append({"name": f"r{number}", "exactly": self.exact()})
        devices: dict[str, Any] = {"requests": requests}
        if self._random.random() < 0.4:
            kind = self._random.choice(["matchAttribute", "distinctAttribute"])
            devices["constraints"] = [{kind: f"{DRIVER}/rack"}]
        return {"metadata": {"name": name, "uid": name}, "spec": {"devices": devices}}


def _pools(slices: list[dict[str, Any]]) -> tuple[list[tuple[str, Device]], bool]:
    """Devices that node ``n`` reaches, with their pool; and whether all pools it reaches are complete."""
    reached = [s["spec"] for s in slices if s["spec"].get("nodeName") != "other"]
    complete = [s for s in reached if s["pool"]["resourceSliceCount"] == 1]
    return [(s["pool"]["name"], d) for s in complete for d in s["devices"]], len(complete) == len(reached)


def _picks(asked: dict[str, Any], devices: list[tuple[str, Device]], whole: bool) -> Iterator[tuple[Any, ...]]:
    """Every set of devices that would do for one request by itself."""
    fitting = [
        (pool, device)
        for pool, device in devices
        if all(
            f'"{device["attributes"]["model"]["string"]}"' in s["cel"]["expression"] for s in asked.get("selectors", ())
        )
    ]
    tolerated = [
        each
        for each in fitting
        if asked.get("tolerations") or not any(t["effect"] == "NoSchedule" for t in each[1].get("taints", ()))
    ]
    if asked.get("allocationMode") == "All":
        if whole and fitting and len(tolerated) == len(fitting):
            yield tuple(fitting)
    else:
        yield from itertools.combinations(tolerated, asked["count"])


def _choices(claim: dict[str, Any]) -> Iterator[list[dict[str, Any]]]:
    options = [r.get("firstAvailable") or [r["exactly"]] for r in claim["spec"]["devices"]["requests"]]
    yield from (list(each) for each in itertools.product(*options))


def _legal(claims: list[dict[str, Any]], picked: list[list[tuple[Any, ...]]], taken: frozenset[str]) -> bool:
    everything = [each for claim in picked for request in claim for each in request]
    names = [device["name"] for _, device in everything]
    if len(set(names)) != len(names) or taken & set(names):
        return False
    for claim, requests in zip(claims, picked, strict=True):
        racks = [d["attributes"].get("rack", {}).get("int") for request in requests for _, d in request]
        for constraint in claim["spec"]["devices"].get("constraints", ()):
            if None in racks:
                return False
            if "matchAttribute" in constraint and len(set(racks)) > 1:
                return False
            if "distinctAttribute" in constraint and len(set(racks)) < len(racks):
                return False
    return True


def _slots(devices: list[tuple[str, Device]], names: set[str]) -> dict[str, int]:
    used = {"p": 0, "q": 0}
    for pool, device in devices:
        if device["name"] in names:
            for consumption in device.get("consumesCounters", ()):
                used[pool] += int(consumption["counters"]["slots"]["value"])
    return used


def possible(claims: list[dict[str, Any]], slices: list[dict[str, Any]], taken: frozenset[str]) -> bool:
    devices, whole = _pools(slices)
    for choice in itertools.product(*(list(_choices(claim)) for claim in claims)):
        options = [[list(_picks(asked, devices, whole)) for asked in claim] for claim in choice]
        for flat in itertools.product(*(picks for claim in options for picks in claim)):
            rest = iter(flat)
            picked = [[next(rest) for _ in claim] for claim in options]
            names = {device["name"] for claim in picked for request in claim for _, device in request}
            consumers = {d["name"] for _, d in devices if d.get("consumesCounters")}
            room = all(amount <= 2 for amount in _slots(devices, names | taken).values())
            if _legal(claims, picked, taken) and (room or not names & consumers):
                return True
    return False


def _decoded(cls: type[Any], objects: list[dict[str, Any]]) -> list[Any]:
    return [codec.convert(cls, each) for each in objects]


@pytest.mark.parametrize("block", range(8))
def test_it_finds_devices_exactly_where_there_are_some(block: int) -> None:
    found_some = 0
    for seed in range(block * 60, block * 60 + 60):
        dice = Dice(seed)
        slices, claims = dice.slices(), [dice.claim(f"c{n}") for n in range(1 + seed % 2)]
        everything = [d["name"] for s in slices for d in s["spec"]["devices"]]
        taken = frozenset(everything[: seed % 3])
        ids: frozenset[Id] = frozenset((DRIVER, name[0], name) for name in taken)
        structs = _decoded(resource_v1.ResourceClaim, claims)
        given = allocate(structs, _decoded(resource_v1.ResourceSlice, slices), ids, lambda _: CLASS, node("n"))
        assert (given is not None) == possible(claims, slices, taken), seed
        if given is not None:
            found_some += 1
            _check(given, claims, slices, taken)
    assert 5 < found_some < 55, "both answers occur"


def _check(
    given: list[list[Given]], claims: list[dict[str, Any]], slices: list[dict[str, Any]], taken: frozenset[str]
) -> None:
    """What was given meets the rules, and the first alternative that could be met was preferred."""
    devices, _ = _pools(slices)
    by_name = {device["name"]: (pool, device) for pool, device in devices}
    picked = [
        [
            tuple(by_name[one.candidate.id[2]] for one in group)
            for _, group in itertools.groupby(claim, lambda g: g.request)
        ]
        for claim in given
    ]
    assert _legal(claims, picked, taken)


def test_what_an_administrator_looks_at_stays_free() -> None:
    result = resource_v1.DeviceRequestAllocationResult(request="r", driver=DRIVER, pool="p", device="x")
    watched = resource_v1.DeviceRequestAllocationResult(
        request="r", driver=DRIVER, pool="p", device="y", adminAccess=True
    )
    devices = resource_v1.DeviceAllocationResult(results=[result, watched])
    assert taken_by({"u": resource_v1.AllocationResult(devices=devices)}) == {(DRIVER, "p", "x")}
