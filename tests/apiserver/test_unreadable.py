"""Values in the store that are no objects: others go on being served, and nobody is told that they are not there."""

from tests.apiserver.server import MERGE, Api, config_map, serving
from tiphys.apiserver import ApiServer, ApiServerConfig, security
from tiphys.store.memory import MemoryStore
from tiphys.wire.exchange import Request, UserInfo

MAPS = "/api/v1/namespaces/d/configmaps"
PREFIX = "/registry/configmaps/d/"
STRANGE = (b"", b"k8s\x00protobuf", b'{"apiVersion":"v1","kind":"Secret","metadata":{}}', b"[]")


async def names(api: Api) -> list[str]:
    return [item["metadata"]["name"] for item in (await api.ok("GET", MAPS))["items"]]


async def test_a_server_starts_on_them() -> None:
    store = MemoryStore()
    for number, value in enumerate(STRANGE):
        await store.put(f"{PREFIX}x{number}", value, expected=0)
    # A key that is no object's at all.
    await store.put("/registry/stray", b"?", expected=0)
    async with serving(store=store) as api:
        await api.ok("POST", MAPS, config_map("a"))
        assert await names(api) == ["a"]
        for number in range(len(STRANGE)):
            assert (await api.call("GET", f"{MAPS}/x{number}"))[0] == 500
        assert (await api.call("GET", f"{MAPS}/y"))[0] == 404


async def test_a_running_server_goes_on() -> None:
    store = MemoryStore()
    async with serving(store=store) as api:
        made = await api.ok("POST", MAPS, config_map("a"))
        before = made["metadata"]["resourceVersion"]
        async with api.watching(MAPS, resourceVersion=before) as lines:
            await store.put("/registry/stray", b"?", expected=0)
            await store.put(f"{PREFIX}a", b"broken", expected=int(before))
            await store.put(f"{PREFIX}b", b"broken", expected=0)
            await api.ok("POST", MAPS, config_map("c"))
            # Gone, for all that a watcher can tell; what nobody could see is not spoken of.
            assert [event["type"] for event in await lines.wait(2)] == ["DELETED", "ADDED"]
        assert await names(api) == ["c"]
        assert (await api.call("GET", f"{MAPS}/a"))[0] == 500
        async with api.watching(MAPS, resourceVersion=before) as lines:
            assert [event["type"] for event in await lines.wait(2)] == ["DELETED", "ADDED"]
        await store.delete(f"{PREFIX}a")
        assert (await api.call("GET", f"{MAPS}/a"))[0] == 404
        await api.ok("POST", MAPS, config_map("a"))
        found = await api.ok("PATCH", f"{MAPS}/a", {"data": {"k": "v"}}, content_type=MERGE)
        assert found["data"] == {"k": "v"}


async def test_earlier_revisions_leave_them_out() -> None:
    store = MemoryStore()
    async with serving(store=store, watch_buffer_bytes_max=1024) as api:
        await store.put(f"{PREFIX}x", b"broken", expected=0)
        made = await api.ok("POST", MAPS, config_map("a"))
        await api.ok("POST", MAPS, config_map("b"))
        query = {"resourceVersion": made["metadata"]["resourceVersion"], "resourceVersionMatch": "Exact"}
        found = await api.ok("GET", MAPS, query=query)
        assert [item["metadata"]["name"] for item in found["items"]] == ["a"]


async def test_who_follows_a_kind_does_not_fall_over_one_of_it() -> None:
    """Roles are followed by the authorizer: an object of the right kind and the wrong form must not end that."""
    broken = b'{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"name":"x"},"rules":5}'
    key = "/registry/clusterroles.rbac.authorization.k8s.io/"
    store = MemoryStore()
    await store.put(f"{key}x", broken, expected=0)
    async with ApiServer(ApiServerConfig(), store, seams=security.seams()) as server:
        request = Request("GET", "/api/v1/namespaces", user=UserInfo("admin", groups=("system:masters",)))
        assert (await server.handle(request)).status == 200
        await store.put(f"{key}y", broken, expected=0)
        assert (await server.handle(request)).status == 200
