"""Cluster IPs as IPAddress objects, ServiceCIDRs, node ports in the store, two servers, crashes, repair."""

import asyncio
import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from datetime import timedelta
from typing import Any

import pytest

from tests.apiserver.server import MERGE, Api, serving
from tiphys.apiserver import ApiServer, ApiServerConfig
from tiphys.apiserver.seams import Seams
from tiphys.apiserver.services import repair
from tiphys.apiserver.services.holdings import PORTS_KEY
from tiphys.apiserver.services.ranges import node_ports
from tiphys.machinery import times
from tiphys.store.memory import MemoryStore

SERVICES = "/api/v1/namespaces/d/services"
ADDRESSES = "/apis/networking.k8s.io/v1/ipaddresses"
RANGES = "/apis/networking.k8s.io/v1/servicecidrs"
DUAL = "10.96.0.0/16,fd00:1::/108"


def service(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], "selector": {"a": "b"}, **spec}}


async def held(api: Api) -> dict[str, str]:
    """Addresses and the Services that have them."""
    found = await api.ok("GET", ADDRESSES)
    return {each["metadata"]["name"]: each["spec"]["parentRef"]["name"] for each in found["items"]}


async def eventually(condition: Any) -> None:
    """Let the server's own tasks go on until it holds."""
    for _ in range(10_000):
        if await condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never held")


def bootstrapping() -> Seams:
    """A server that keeps what every cluster has."""
    return Seams(running=nullcontext)


@asynccontextmanager
async def two(**config: Any) -> AsyncIterator[tuple[Api, Api]]:
    """Two servers on one store."""
    store = MemoryStore()
    async with (
        ApiServer(ApiServerConfig(**config), store) as first,
        ApiServer(ApiServerConfig(**config), store) as second,
    ):
        yield Api(first, store), Api(second, store)


async def test_an_address_is_an_object_that_comes_and_goes_with_its_service(api: Api) -> None:
    made = await api.ok("POST", SERVICES, service("a"))
    address = made["spec"]["clusterIP"]
    found = await api.ok("GET", f"{ADDRESSES}/{address}")
    assert found["spec"] == {"parentRef": {"namespace": "d", "name": "a", "resource": "services"}}
    assert found["metadata"]["labels"] == {
        "ipaddress.kubernetes.io/ip-family": "IPv4",
        "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
    }
    await api.ok("PATCH", f"{SERVICES}/a", {"metadata": {"labels": {"x": "y"}}}, content_type=MERGE)
    assert await held(api) == {address: "a"}
    await api.ok("DELETE", f"{SERVICES}/a")
    assert await held(api) == {}
    await api.ok("POST", SERVICES, service("b", clusterIP=address))


async def test_what_an_address_cannot_be(api: Api) -> None:
    await api.ok("POST", SERVICES, service("a", clusterIP="10.96.0.50"))
    refused = 'Service "b" is invalid: spec.clusterIPs: Invalid value: ["%s"]: failed to allocate IP %s: %s'
    for address, why in (
        ("10.96.0.50", "provided IP is already allocated"),
        ("10.97.0.1", "the provided network does not match the current range"),
        ("10.96.0.0", "the provided network does not match the current range"),
    ):
        status, answer = await api.call("POST", SERVICES, service("b", clusterIP=address))
        assert (status, answer["message"]) == (422, refused % (address, address, why))
    assert await held(api) == {"10.96.0.50": "a"}


async def test_a_full_range_is_an_error_of_the_server() -> None:
    async with serving(service_cidr="10.96.0.0/30", node_ports=(30000, 30000)) as api:
        for name in "ab":
            await api.ok("POST", SERVICES, service(name))
        status, answer = await api.call("POST", SERVICES, service("c"))
        assert (status, answer["message"]) == (
            500,
            "Internal error occurred: failed to allocate a serviceIP: range is full",
        )
        await api.ok("DELETE", f"{SERVICES}/a")
        await api.ok("POST", SERVICES, service("n", type="NodePort"))
        await api.ok("DELETE", f"{SERVICES}/b")
        status, answer = await api.call("POST", SERVICES, service("m", type="NodePort"))
        assert (status, answer["message"]) == (
            500,
            "Internal error occurred: failed to allocate a nodePort: range is full",
        )
        assert list((await held(api)).values()) == ["n"]


async def test_two_servers_never_give_one_number_twice() -> None:
    async with two(service_cidr="10.96.0.0/25", node_ports=(30000, 30099)) as (first, second):
        bodies = [service(f"s{number}", type="NodePort") for number in range(100)]
        made = await asyncio.gather(
            *((first, second)[number % 2].ok("POST", SERVICES, body) for number, body in enumerate(bodies))
        )
        assert len({each["spec"]["clusterIP"] for each in made}) == 100
        assert {each["spec"]["ports"][0]["nodePort"] for each in made} == set(range(30000, 30100))
        status, answer = await second.call("POST", SERVICES, service("x", type="NodePort"))
        assert (status, answer["reason"]) == (500, "InternalError")
        asked = service("y", clusterIP=made[0]["spec"]["clusterIP"])
        assert (await second.call("POST", SERVICES, asked))[0] == 422


class Stopping(MemoryStore):
    """A store that can be looked at just before a Service is written."""

    gate: asyncio.Event | None = None

    async def put(self, key: str, value: bytes, *, expected: int | None, ttl_seconds: float | None = None) -> int:
        if self.gate is not None and key.startswith("/registry/services/"):
            await self.gate.wait()
        return await super().put(key, value, expected=expected, ttl_seconds=ttl_seconds)


async def test_what_a_crash_leaves_is_repaired_after_a_minute() -> None:
    store = Stopping()
    async with serving(store=store) as api:
        store.gate = asyncio.Event()
        writing = asyncio.create_task(api.raw("POST", SERVICES, service("a", type="NodePort", clusterIP="10.96.0.9")))
        await eventually(lambda: _holds(api, {"10.96.0.9": "a"}))
        crashed = store.fork()
        store.gate.set()
        await writing
    async with serving(store=crashed) as again:
        assert await held(again) == {"10.96.0.9": "a"}
        objects = again.server.objects
        address = objects.find("networking.k8s.io", "ipaddresses", "", "10.96.0.9")
        made = times.parse(address.metadata.creationTimestamp)
        early = repair.addresses([], {"10.96.0.9": address}, lambda text: True, made + timedelta(seconds=60))
        assert (early.release, early.notes) == ([], [])
        late = repair.addresses([], {"10.96.0.9": address}, lambda text: True, made + timedelta(seconds=61))
        assert late.release == ["10.96.0.9"]
        assert [(note.reason, note.text) for note in late.notes] == [
            ("IPAddressNotAllocated", "IPAddress: 10.96.0.9 for Service d/a appears to have leaked: cleaning up")
        ]


async def _holds(api: Api, expected: dict[str, str]) -> bool:
    return await held(api) == expected


async def test_lost_addresses_and_ports_are_held_again_at_the_start() -> None:
    async with serving() as api:
        made = await api.ok("POST", SERVICES, service("a", type="NodePort"))
        address, port = made["spec"]["clusterIP"], made["spec"]["ports"][0]["nodePort"]
        await api.ok("DELETE", f"{ADDRESSES}/{address}")
        await api.store.delete(PORTS_KEY)
    async with serving(bootstrapping(), store=api.store.fork()) as again:
        assert await held(again) == {address: "a"}
        ports = [{"port": 80, "nodePort": port}]
        status, answer = await again.call("POST", SERVICES, service("b", type="NodePort", ports=ports))
        assert (status, answer["details"]["causes"][0]["message"]) == (
            422,
            f"Invalid value: {port}: provided port is already allocated",
        )

        async def told() -> bool:
            found = await again.ok("GET", "/apis/events.k8s.io/v1/namespaces/d/events")
            return {(each["reason"], each["note"]) for each in found["items"]} == {
                ("ClusterIPNotAllocated", f"Cluster IP [IPv4]: {address} is not allocated; repairing"),
                ("PortNotAllocated", f"Port {port} is not allocated; repairing"),
            }

        await eventually(told)


def test_ports_without_a_service_are_given_back_when_seen_three_times() -> None:
    numbers = node_ports(30000, 30100)
    first = repair.ports([], [30005], {}, numbers)
    second = repair.ports([], [30005], first.leaks, numbers)
    third = repair.ports([], [30005], second.leaks, numbers)
    assert (first.release, second.release, third.release) == (set(), set(), {30005})


async def test_the_default_range_is_an_object() -> None:
    async with serving(bootstrapping(), service_cidr=DUAL) as api:
        found = await api.ok("GET", f"{RANGES}/kubernetes")
        assert found["spec"]["cidrs"] == DUAL.split(",")
        assert found["metadata"]["finalizers"] == ["networking.k8s.io/service-cidr-finalizer"]
        (condition,) = found["status"]["conditions"]
        assert (condition["type"], condition["status"]) == ("Ready", "True")


async def test_a_further_range_is_used_and_kept_while_it_is() -> None:
    async with serving(bootstrapping(), service_cidr="10.96.0.0/30") as api:
        for name in "ab":
            await api.ok("POST", SERVICES, service(name))
        await api.ok("POST", RANGES, {"metadata": {"name": "more"}, "spec": {"cidrs": ["10.97.0.0/24"]}})

        async def ready() -> bool:
            found = await api.ok("GET", f"{RANGES}/more")
            conditions = found.get("status", {}).get("conditions", [])
            return bool(found["metadata"].get("finalizers")) and [each["status"] for each in conditions] == ["True"]

        await eventually(ready)
        made = await api.ok("POST", SERVICES, service("c"))
        assert ipaddress.ip_address(made["spec"]["clusterIP"]) in ipaddress.ip_network("10.97.0.0/24")
        await api.ok("DELETE", f"{RANGES}/more")

        async def terminating() -> bool:
            found = await api.ok("GET", f"{RANGES}/more")
            return [each["reason"] for each in found["status"]["conditions"]] == ["Terminating"]

        await eventually(terminating)
        assert (await api.call("POST", SERVICES, service("d")))[0] == 500
        await api.ok("DELETE", f"{SERVICES}/c")

        async def gone() -> bool:
            return (await api.raw("GET", f"{RANGES}/more")).status == 404

        await eventually(gone)


@pytest.mark.parametrize(
    ("spec", "families", "policy"),
    [
        ({}, ["IPv4"], "SingleStack"),
        ({"ipFamilyPolicy": "PreferDualStack"}, ["IPv4", "IPv6"], "PreferDualStack"),
        ({"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6"]}, ["IPv6", "IPv4"], "RequireDualStack"),
        ({"ipFamilies": ["IPv6"]}, ["IPv6"], "SingleStack"),
        ({"clusterIP": "fd00:1::5"}, ["IPv6"], "SingleStack"),
        ({"clusterIP": "None", "selector": None}, ["IPv4", "IPv6"], "RequireDualStack"),
        ({"clusterIP": "None"}, ["IPv4"], "SingleStack"),
    ],
)
async def test_families_of_new_services(spec: dict[str, Any], families: list[str], policy: str) -> None:
    async with serving(service_cidr=DUAL) as api:
        made = (await api.ok("POST", SERVICES, service("a", **spec)))["spec"]
        assert (made["ipFamilies"], made["ipFamilyPolicy"]) == (families, policy)
        if made["clusterIP"] != "None":
            versions = [f"IPv{ipaddress.ip_address(text).version}" for text in made["clusterIPs"]]
            assert (versions, made["clusterIP"]) == (families, made["clusterIPs"][0])
            assert set(await held(api)) == set(made["clusterIPs"])


async def test_a_second_family_comes_and_goes_with_the_policy() -> None:
    async with serving(service_cidr=DUAL) as api:
        one = (await api.ok("POST", SERVICES, service("a")))["spec"]["clusterIPs"]

        async def patched(**spec: Any) -> Any:
            return (await api.ok("PATCH", f"{SERVICES}/a", {"spec": spec}, content_type=MERGE))["spec"]

        two = await patched(ipFamilyPolicy="RequireDualStack")
        assert (two["ipFamilies"], two["clusterIPs"][:1], len(two["clusterIPs"])) == (["IPv4", "IPv6"], one, 2)
        assert set(await held(api)) == set(two["clusterIPs"])
        status, answer = await api.call(
            "PATCH", f"{SERVICES}/a", {"spec": {"clusterIPs": one, "ipFamilies": ["IPv4"]}}, content_type=MERGE
        )
        assert (status, [cause["message"] for cause in answer["details"]["causes"]]) == (
            422,
            [
                "Invalid value: \"RequireDualStack\": must be 'SingleStack' to release the secondary cluster IP",
                "Invalid value: \"RequireDualStack\": must be 'SingleStack' to release the secondary IP family",
            ],
        )
        back = await patched(ipFamilyPolicy="SingleStack")
        assert (back["ipFamilies"], back["clusterIPs"]) == (["IPv4"], one)
        assert set(await held(api)) == set(one)
        await patched(type="ExternalName", externalName="example.com", clusterIP="", clusterIPs=None)
        assert await held(api) == {}


async def test_a_manifest_that_knows_of_one_address_keeps_both() -> None:
    async with serving(service_cidr=DUAL) as api:
        made = await api.ok("POST", SERVICES, service("a", ipFamilyPolicy="PreferDualStack"))
        for known in ({}, {"clusterIP": made["spec"]["clusterIP"]}):
            body = service("a", **known)
            body["metadata"]["resourceVersion"] = (await api.ok("GET", f"{SERVICES}/a"))["metadata"]["resourceVersion"]
            found = await api.ok("PUT", f"{SERVICES}/a", body)
            assert found["spec"]["clusterIPs"] == made["spec"]["clusterIPs"]
            assert found["spec"]["ipFamilyPolicy"] == "PreferDualStack"
        assert set(await held(api)) == set(made["spec"]["clusterIPs"])


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        (
            {"ipFamilyPolicy": "RequireDualStack"},
            'spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for dual-stack '
            "services",
        ),
        ({"ipFamilies": ["IPv6"]}, 'spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster'),
        (
            {"clusterIP": "fd00::1"},
            'spec.clusterIPs[0]: Invalid value: ["fd00::1"]: IPv6 is not configured on this cluster',
        ),
        (
            {"ipFamilies": ["IPv4", "IPv6"]},
            "spec.ipFamilyPolicy: Invalid value: \"SingleStack\": must be 'RequireDualStack' or 'PreferDualStack' "
            "when multiple IP families are specified",
        ),
    ],
)
async def test_what_a_cluster_of_one_family_refuses(api: Api, spec: dict[str, Any], why: str) -> None:
    status, answer = await api.call("POST", SERVICES, service("a", **spec))
    assert (status, answer["message"]) == (422, f'Service "a" is invalid: {why}')


async def test_a_tried_or_refused_write_touches_nothing(api: Api) -> None:
    before = api.store.revision
    await api.ok("POST", SERVICES, service("a", type="NodePort"), {"dryRun": "All"})
    assert (await api.call("POST", SERVICES, service("a", sessionAffinity="Sometimes")))[0] == 422
    assert api.store.revision == before
    await api.ok("POST", SERVICES, service("a"))
    before = api.store.revision
    assert (await api.call("POST", SERVICES, service("a")))[1]["reason"] == "AlreadyExists"
    assert api.store.revision == before
