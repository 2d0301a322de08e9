"""What fuzzing has found, each by itself."""

import pytest

from tests.apiserver.server import JSON_PATCH, MERGE, config_map, serving

MAPS = "/api/v1/namespaces/d/configmaps"


@pytest.mark.parametrize(
    ("patch", "kind"),
    [
        ({"kind": "Other" * 50}, MERGE),
        ({"apiVersion": "other/v1"}, MERGE),
        ([{"op": "replace", "path": "/kind", "value": "Secret"}], JSON_PATCH),
    ],
)
async def test_a_patch_does_not_make_an_object_something_else(patch: object, kind: str) -> None:
    async with serving() as api:
        await api.ok("POST", MAPS, config_map("a"))
        status, _ = await api.call("PATCH", f"{MAPS}/a", patch, content_type=kind)
        assert status == 400
        assert (await api.ok("GET", f"{MAPS}/a"))["kind"] == "ConfigMap"
        await api.ok("POST", MAPS, config_map("b"))


async def test_an_applied_object_that_cannot_be_read_is_the_clients_fault() -> None:
    apply = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "creationTimestamp": 5}}
    async with serving() as api:
        query = {"fieldManager": "m"}
        await api.ok("POST", MAPS, config_map("a"))
        status, _ = await api.call("PATCH", f"{MAPS}/a", apply, query, content_type="application/apply-patch+yaml")
        assert status == 400
