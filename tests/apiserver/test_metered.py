"""How long calls of the store took, as metrics show it."""

from tests.apiserver.server import config_map, serving
from tests.store.test_contract import HandClock
from tiphys.apiserver.metered import MeteredStore
from tiphys.store.memory import MemoryStore

MAPS = "/api/v1/namespaces/d/configmaps"


async def test_calls_are_counted_by_what_they_do_and_to_what() -> None:
    store = MeteredStore(MemoryStore(), HandClock())
    async with serving(store=store) as api:
        await api.ok("POST", MAPS, config_map("a"))
        await api.ok("PUT", f"{MAPS}/a", config_map("a", {"k": "v"}))
        await api.ok("DELETE", f"{MAPS}/a")
    counted = [line for line in store.lines() if "_count" in line and "configmaps" in line]
    name = "etcd_request_duration_seconds_count"
    assert counted == [
        f'{name}{{group="",operation="{operation}",resource="configmaps"}} 1'
        for operation in ("create", "delete", "update")
    ]
    bounds = [line for line in store.lines() if 'le="0.005"' in line and 'operation="create"' in line]
    assert any(line.endswith(" 1") for line in bounds)
