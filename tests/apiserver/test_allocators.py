"""Cluster IPs and node ports: never twice, never lost, given out from the upper part first."""

from typing import Any

from tests.apiserver.server import MERGE, Api, serving
from tiphys.apiserver.services.ranges import Numbers
from tiphys.store.interface import Unavailable
from tiphys.store.memory import MemoryStore

SERVICES = "/api/v1/namespaces/d/services"


def service(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], "selector": {"a": "b"}, **spec}}


def test_the_lower_part_is_given_out_last() -> None:
    assert list(Numbers(1, 10, 4).candidates(lambda: 2)) == [7, 8, 9, 10, 5, 6, 3, 4, 1, 2]
    assert list(Numbers(1, 3, 0).candidates(lambda: 0)) == [1, 2, 3]


async def test_a_restarted_server_knows_what_is_taken() -> None:
    async with serving() as api:
        made = await api.ok("POST", SERVICES, service("a", type="NodePort"))
    address, port = made["spec"]["clusterIP"], made["spec"]["ports"][0]["nodePort"]
    async with serving(store=api.store.fork()) as again:
        status, answer = await again.call("POST", SERVICES, service("b", clusterIP=address))
        assert (status, answer["reason"]) == (422, "Invalid")
        ports = [{"port": 1, "nodePort": port}]
        assert (await again.call("POST", SERVICES, service("b", type="NodePort", ports=ports)))[0] == 422


async def test_refused_and_tried_writes_keep_nothing(api: Api) -> None:
    await api.ok("POST", SERVICES, service("a", clusterIP="10.96.0.50"), {"dryRun": "All"})
    wrong = service("a", clusterIP="10.96.0.50", sessionAffinity="Sometimes")
    assert (await api.call("POST", SERVICES, wrong))[0] == 422
    await api.ok("POST", SERVICES, service("a", clusterIP="10.96.0.50"))


async def test_a_change_of_type_frees_and_takes(api: Api) -> None:
    made = await api.ok("POST", SERVICES, service("a", type="NodePort"))
    port = made["spec"]["ports"][0]["nodePort"]
    inner = await api.ok("PATCH", f"{SERVICES}/a", {"spec": {"type": "ClusterIP"}}, content_type=MERGE)
    assert "nodePort" not in inner["spec"]["ports"][0]
    other = service("b", type="NodePort", ports=[{"port": 80, "nodePort": port}])
    await api.ok("POST", SERVICES, other)
    outer = await api.ok("PATCH", f"{SERVICES}/a", {"spec": {"type": "NodePort"}}, content_type=MERGE)
    assert outer["spec"]["ports"][0]["nodePort"] not in (0, port)
    assert outer["spec"]["clusterIP"] == made["spec"]["clusterIP"]


async def test_two_protocols_of_a_port_share_their_node_port(api: Api) -> None:
    ports = [{"name": "u", "port": 53, "protocol": "UDP"}, {"name": "t", "port": 53, "protocol": "TCP"}]
    made = await api.ok("POST", SERVICES, service("dns", type="NodePort", ports=ports))
    first, second = (port["nodePort"] for port in made["spec"]["ports"])
    assert first == second


class FullStore(MemoryStore):
    """A store whose disk is full from a given moment on."""

    full = False

    async def put(self, key: str, value: bytes, *, expected: int | None, ttl_seconds: float | None = None) -> int:
        if self.full:
            raise Unavailable("No space left on device")
        return await super().put(key, value, expected=expected, ttl_seconds=ttl_seconds)


async def test_a_full_disk_is_told_and_changes_nothing() -> None:
    store = FullStore()
    async with serving(store=store) as api:
        await api.ok("POST", SERVICES, service("a", clusterIP="10.96.0.50"))
        store.full = True
        status, answer = await api.call("POST", SERVICES, service("b", clusterIP="10.96.0.51"))
        assert status == 500
        assert "No space left on device" in answer["message"]
        assert len((await api.ok("GET", SERVICES))["items"]) == 1
        store.full = False
        await api.ok("POST", SERVICES, service("b", clusterIP="10.96.0.51"))
