"""API servers on one etcd: what one answers the other shows at once; etcd's absence is told and survived."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.apiserver.server import Api, config_map, serving
from tests.store.etcd_server import Cluster
from tests.store.test_etcd import opened
from tiphys.apiserver import run, security, storage
from tiphys.apiserver.config import StorageConfig
from tiphys.apiserver.encryption.providers import AesGcm
from tiphys.apiserver.flags import Settings, parse
from tiphys.base.clock import RealClock
from tiphys.base.ids import Ids
from tiphys.store.etcd import messages_pb2
from tiphys.wire.exchange import Request, UserInfo

MAPS = "/api/v1/namespaces/default/configmaps"
SERVICES = "/api/v1/namespaces/default/services"


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path)
    cluster.start()
    yield cluster
    cluster.stop()


@asynccontextmanager
async def server(etcd: Cluster, **settings: Any) -> AsyncIterator[Api]:
    async with (
        storage.opened(StorageConfig(etcd_servers=etcd.urls), RealClock(), Ids()) as stored,
        serving(store=stored.store, **settings) as api,
    ):
        yield api


async def test_two_servers_see_each_others_writes_at_once(etcd: Cluster) -> None:
    async with server(etcd) as one, server(etcd) as two:
        async with one.watching(MAPS) as lines:
            for number in range(30):
                await two.ok("POST", MAPS, config_map(f"m{number}"))
                assert len((await one.ok("GET", MAPS))["items"]) == number + 1
                await one.ok("GET", f"{MAPS}/m{number}")
            events = await lines.wait(30)
        assert [event["object"]["metadata"]["name"] for event in events] == [f"m{number}" for number in range(30)]
        await one.ok("DELETE", f"{MAPS}/m0")
        assert (await two.call("GET", f"{MAPS}/m0"))[0] == 404


async def test_one_of_two_servers_wins_a_race(etcd: Cluster) -> None:
    async with server(etcd) as one, server(etcd) as two:
        made = await asyncio.gather(*(api.call("POST", MAPS, config_map("m")) for api in (one, two) * 5))
        assert sorted(status for status, _ in made) == [201] + [409] * 9
        found = await one.ok("GET", f"{MAPS}/m")
        changed = [await api.call("PUT", f"{MAPS}/m", found | {"data": {"by": str(api)}}) for api in (one, two)]
        assert [status for status, _ in changed] == [200, 409]

        async def count(api: Api, number: int) -> None:
            patch = {"data": {f"k{number}": ""}}
            await api.ok("PATCH", f"{MAPS}/m", patch, content_type="application/merge-patch+json")

        await asyncio.gather(*(count((one, two)[number % 2], number) for number in range(4)))
        assert len((await two.ok("GET", f"{MAPS}/m"))["data"]) == 5


async def test_pages_and_watches_of_one_server_go_on_at_another(etcd: Cluster) -> None:
    async with server(etcd) as one, server(etcd) as two:
        for number in range(5):
            await one.ok("POST", MAPS, config_map(f"m{number}"))
        page = await one.ok("GET", MAPS, query={"limit": "3"})
        revision = page["metadata"]["resourceVersion"]
        await one.ok("DELETE", f"{MAPS}/m4")
        rest = await two.ok("GET", MAPS, query={"limit": "3", "continue": page["metadata"]["continue"]})
        assert [item["metadata"]["name"] for item in rest["items"]] == ["m3", "m4"]
        async with two.watching(MAPS, resourceVersion=revision) as lines:
            (event,) = await lines.wait(1)
        assert (event["type"], event["object"]["metadata"]["name"]) == ("DELETED", "m4")


async def test_a_server_that_starts_later_resumes_older_watches(etcd: Cluster) -> None:
    async with server(etcd) as one:
        first = await one.ok("POST", MAPS, config_map("a"))
        await one.ok("POST", MAPS, config_map("b"))
        # The newest revision is no change of any resource.
        await one.store.client.write("put", messages_pb2.PutRequest(key=b"/elsewhere", value=b""))
    async with (
        server(etcd) as two,
        two.watching(MAPS, resourceVersion=first["metadata"]["resourceVersion"]) as lines,
    ):
        (event,) = await lines.wait(1)
    assert event["object"]["metadata"]["name"] == "b"


async def test_requests_end_and_recover_when_etcd_is_away(etcd: Cluster) -> None:
    (member,) = etcd.members
    opened = storage.opened(StorageConfig(etcd_servers=etcd.urls, etcd_healthcheck_seconds=0.2), RealClock(), Ids())
    async with opened as stored, serving(store=stored.store) as api:
        client = stored.store.client  # type: ignore[attr-defined]
        client._config = replace(client._config, request_seconds=0.3)
        await api.ok("POST", MAPS, config_map("a"))
        assert await stored.checks["etcd"]() == ""
        async with api.watching(MAPS, resourceVersion=str(api.store.revision)) as lines:
            member.kill()
            code, refusal = await api.call("GET", f"{MAPS}/a")
            assert (code, refusal.get("reason")) == (500, None)
            assert refusal["message"].startswith(f"etcd {member.url}: ")
            assert (await api.call("POST", MAPS, config_map("b")))[0] == 500
            assert "Connection refused" in await stored.checks["etcd"]()
            # What is allowed to be old needs no etcd.
            assert (await api.call("GET", f"{MAPS}/a", query={"resourceVersion": "0"}))[0] == 200
            member.start()
            async with asyncio.timeout(20):
                while (await api.call("POST", MAPS, config_map("c")))[0] != 201:
                    continue
            assert await stored.checks["etcd"]() == ""
            (event,) = await lines.wait(1)
        assert event["object"]["metadata"]["name"] == "c"


async def test_flags_health_and_prefix_of_a_whole_server(etcd: Cluster) -> None:
    (member,) = etcd.members
    given = [f"--etcd-servers={member.url}", "--etcd-prefix=/elsewhere", "--etcd-healthcheck-timeout=200ms"]
    settings = parse([*given, "--etcd-readycheck-timeout=200ms", "--secure-port=0"], Settings())
    async with run.serving(settings) as server:
        api = Api(server, None)
        assert (await api.raw("GET", "/readyz")).status == 200
        verbose = (await api.raw("GET", "/readyz", query={"verbose": ""})).body
        assert b"[+]etcd ok" in verbose and b"[+]etcd-readiness ok" in verbose
        async with opened(etcd, prefix="/elsewhere") as store:
            assert await store.get("/registry/namespaces/kube-system") is not None
        async with opened(etcd) as store:
            assert (await store.range("/registry/")).items == []
        member.kill()
        answer = await api.raw("GET", "/readyz")
        assert answer.status == 500
        assert b"[-]etcd failed: reason withheld" in answer.body
        assert b"[-]etcd-readiness failed: reason withheld" in answer.body
        assert (await api.raw("GET", "/livez", query={"exclude": "etcd"})).status == 200
        member.start()
        async with asyncio.timeout(20):
            while (await api.raw("GET", "/readyz")).status != 200:
                continue


async def test_a_server_that_was_cut_off_longer_than_history_reads_everything_again(etcd: Cluster) -> None:
    async with server(etcd) as one, server(etcd) as two:
        await two.ok("POST", MAPS, config_map("stays"))
        old = (await two.ok("POST", MAPS, config_map("goes")))["metadata"]["resourceVersion"]
        cache = one.server._cache
        await cache.wait(int(old))
        async with one.watching(MAPS, resourceVersion=old) as lines:
            # The watch of this server is held up while the other goes on and compacts.
            watch = cache._watch
            watch._task.cancel()
            await two.ok("DELETE", f"{MAPS}/goes")
            made = await two.ok("POST", MAPS, config_map("new"))
            await two.store.compact(two.store.revision)
            watch._task = asyncio.get_running_loop().create_task(watch._run())
            names = {item["metadata"]["name"] for item in (await one.ok("GET", MAPS))["items"]}
            assert names == {"stays", "new"}
            events = await lines.wait(2)
            assert {(event["type"], event["object"]["metadata"]["name"]) for event in events} == {
                ("DELETED", "goes"),
                ("ADDED", "new"),
            }
        async with one.watching(MAPS, resourceVersion=old) as late:
            (gone,) = await late.wait(1)
        assert (gone["type"], gone["object"]["code"]) == ("ERROR", 410)
        assert made["metadata"]["name"] == "new"


async def test_a_namespace_made_at_one_server_takes_objects_at_another(etcd: Cluster) -> None:
    admin = UserInfo("admin", groups=("system:masters", "system:authenticated"))

    async def create(api: Api, path: str, body: dict[str, Any]) -> int:
        headers = {"content-type": "application/json"}
        request = Request("POST", f"/api/v1/namespaces{path}", {}, headers, json.dumps(body).encode(), user=admin)
        return (await api.server.handle(request)).status

    made = security.seams()
    async with server(etcd, seams=made, port=0) as one, server(etcd, seams=made, port=0) as two:
        for number in range(10):
            assert await create(two, "", {"metadata": {"name": f"n{number}"}}) == 201
            assert await create(one, f"/n{number}/configmaps", config_map("m")) == 201
        assert await create(one, "/none/configmaps", config_map("m")) == 404


async def test_two_servers_give_no_address_out_twice(etcd: Cluster) -> None:
    def service(name: str) -> dict[str, object]:
        spec = {"type": "NodePort", "ports": [{"port": 80}]}
        return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}

    # Ranges that leave no room for luck.
    settings = {"service_cidr": "10.96.0.0/26", "node_ports": (30000, 30039)}
    async with server(etcd, **settings) as one, server(etcd, **settings) as two:
        jobs = [(one, two)[number % 2].call("POST", SERVICES, service(f"s{number}")) for number in range(30)]
        made = [body for status, body in await asyncio.gather(*jobs) if status == 201]
    addresses = [body["spec"]["clusterIP"] for body in made]
    ports = [body["spec"]["ports"][0]["nodePort"] for body in made]
    assert len(made) == 30
    assert len(set(addresses)) == len(addresses)
    assert len(set(ports)) == len(ports)


async def test_sealed_values_are_bound_to_their_keys_in_etcd(etcd: Cluster, tmp_path: Path) -> None:
    key = b"k" * 32
    keys = [{"name": "one", "secret": base64.b64encode(key).decode()}]
    rules = [{"resources": ["secrets"], "providers": [{"aesgcm": {"keys": keys}}]}]
    kind = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration", "resources": rules}
    file = tmp_path / "encryption.yaml"
    file.write_text(json.dumps(kind))
    config = StorageConfig(etcd_servers=etcd.urls, etcd_prefix="/elsewhere", encryption_file=str(file))
    async with storage.opened(config, RealClock(), Ids()) as stored, serving(store=stored.store) as api:
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "stringData": {"key": "hidden"}}
        await api.ok("POST", "/api/v1/namespaces/default/secrets", secret)
        async with opened(etcd, prefix="/elsewhere") as store:
            found = await store.get("/registry/secrets/default/a")
    assert found is not None
    sealed = found.value.removeprefix(b"k8s:enc:aesgcm:v1:one:")
    assert b'"kind":"Secret"' in AesGcm(key).open(sealed, b"/elsewhere/secrets/default/a")
