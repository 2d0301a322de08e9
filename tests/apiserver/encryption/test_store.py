"""Encryption under the real API server: what lies in the store, who can read it, and what is written again."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.apiserver.encryption.plugin import Plugin
from tests.apiserver.server import Api, config_map, serving
from tests.store.test_contract import HandClock
from tiphys.apiserver.encryption.chain import Chains
from tiphys.apiserver.encryption.config import ConfigError
from tiphys.apiserver.encryption.keeping import Encryption
from tiphys.apiserver.encryption.providers import TransformError
from tiphys.apiserver.encryption.store import EncryptedStore
from tiphys.base.ids import Ids
from tiphys.store.interface import Conflict
from tiphys.store.memory import MemoryStore

SECRETS = "/api/v1/namespaces/default/secrets"
PATH = "/registry/secrets/default/a"


def key(name: str) -> dict[str, str]:
    return {"name": name, "secret": base64.b64encode(name.encode().rjust(32, b"k")).decode()}


def providers(kind: str, *names: str) -> list[dict[str, Any]]:
    return [{kind: {"keys": [key(name) for name in names]}}]


def write(path: Path, **rules: list[dict[str, Any]]) -> str:
    listed = [{"resources": [name.replace("_", ".")], "providers": used} for name, used in rules.items()]
    kind = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration", "resources": listed}
    path.write_text(yaml.safe_dump(kind))
    return str(path)


@asynccontextmanager
async def encrypting(file: str, memory: MemoryStore, **settings: Any) -> AsyncIterator[tuple[Api, Encryption]]:
    clock = settings.pop("clock", HandClock())
    async with (
        Encryption(file, memory, clock, Ids(), **settings) as encryption,
        serving(store=encryption.store) as api,
    ):
        yield api, encryption


def secret(name: str = "a", value: str = "hidden") -> dict[str, Any]:
    metadata = {"name": name}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"key": value}}


async def raw(memory: MemoryStore, path: str = PATH) -> bytes:
    found = await memory.get(path)
    assert found is not None
    return found.value


@pytest.mark.parametrize("kind", ["aescbc", "aesgcm", "secretbox"])
async def test_secrets_are_sealed_and_others_are_not(kind: str, tmp_path: Path) -> None:
    memory = MemoryStore()
    file = write(tmp_path / "e", secrets=providers(kind, "key1"))
    async with encrypting(file, memory) as (api, _):
        async with api.watching(SECRETS) as lines:
            made = await api.ok("POST", SECRETS, secret())
            (event,) = await lines.wait(1)
            assert event["object"] == made
        await api.ok("POST", "/api/v1/namespaces/default/configmaps", config_map("m", {"a": "open"}))
        assert (await raw(memory)).startswith(f"k8s:enc:{kind}:v1:key1:".encode())
        assert b"hidden" not in await raw(memory)
        assert b"open" in await raw(memory, "/registry/configmaps/default/m")
        assert await api.ok("GET", f"{SECRETS}/a") == made
    async with encrypting(file, memory) as (api, _):
        assert await api.ok("GET", f"{SECRETS}/a") == made
        async with api.watching(SECRETS, resourceVersion="1") as lines:
            (event,) = await lines.wait(1)
            assert event["object"] == made


async def test_an_update_that_changes_nothing_writes_again_under_the_new_key(tmp_path: Path) -> None:
    memory = MemoryStore()
    path = tmp_path / "e"
    async with serving(store=memory) as api:
        await api.ok("POST", SECRETS, secret())
    mixed = [*providers("aesgcm", "one"), {"identity": {}}]
    async with encrypting(write(path, secrets=mixed), memory) as (api, encryption):
        found = await api.ok("GET", f"{SECRETS}/a")
        again = await api.ok("PUT", f"{SECRETS}/a", found)
        assert again["metadata"]["resourceVersion"] != found["metadata"]["resourceVersion"]
        assert (await raw(memory)).startswith(b"k8s:enc:aesgcm:v1:one:")
        assert await api.ok("PUT", f"{SECRETS}/a", again) == again
        write(path, secrets=providers("aesgcm", "two", "one"))
        assert await encryption.load()
        assert await api.ok("GET", f"{SECRETS}/a") == again
        rewritten = await api.ok("PUT", f"{SECRETS}/a", again)
        assert (await raw(memory)).startswith(b"k8s:enc:aesgcm:v1:two:")
        assert await api.ok("PUT", f"{SECRETS}/a", rewritten) == rewritten


async def test_what_no_key_opens_is_set_aside_and_can_be_taken_away(tmp_path: Path) -> None:
    memory = MemoryStore()
    async with encrypting(write(tmp_path / "e", secrets=providers("aescbc", "one")), memory) as (api, _):
        await api.ok("POST", SECRETS, secret())
    async with encrypting(write(tmp_path / "f", secrets=providers("aescbc", "two")), memory) as (api, encryption):
        with pytest.raises(TransformError, match=f'unable to transform key "{PATH}": no matching prefix found'):
            await encryption.store.get(PATH)
        await api.ok("POST", SECRETS, secret("b"))
        assert [item["metadata"]["name"] for item in (await api.ok("GET", SECRETS))["items"]] == ["b"]
        corrupt = f"Internal error occurred: StorageError: corrupt object, Key: {PATH}, "
        for method, body in (("GET", None), ("PUT", secret()), ("DELETE", None)):
            status, found = await api.call(method, f"{SECRETS}/a", body)
            assert (status, found["reason"]) == (500, "InternalError")
            assert found["message"].startswith(corrupt)
        assert (await api.call("POST", SECRETS, secret()))[0] == 409
        unsafe = {"ignoreStoreReadErrorWithClusterBreakingPotential": True}
        assert (await api.call("DELETE", f"{SECRETS}/b", unsafe))[0] == 422
        assert (await api.call("DELETE", f"{SECRETS}/a", {**unsafe, "gracePeriodSeconds": 0}))[0] == 422
        await api.ok("DELETE", f"{SECRETS}/a", unsafe)
        assert (await api.call("GET", f"{SECRETS}/a"))[0] == 404
        await api.ok("POST", SECRETS, secret())


async def test_a_value_moved_to_another_key_does_not_open(tmp_path: Path) -> None:
    memory = MemoryStore()
    file = write(tmp_path / "e", secrets=providers("aesgcm", "one"))
    async with Encryption(file, memory, HandClock(), Ids()) as encryption:
        await encryption.store.put(PATH, b"text", expected=0)
        await memory.put("/registry/secrets/other/a", await raw(memory), expected=0)
        with pytest.raises(TransformError, match="cipher: message authentication failed"):
            await encryption.store.get("/registry/secrets/other/a")


async def test_wildcards_take_what_nobody_nearer_takes(tmp_path: Path) -> None:
    memory = MemoryStore()
    rules: dict[str, Any] = {
        "configmaps": [{"identity": {}}],
        "*_apps": providers("aesgcm", "apps"),
        "*_*": providers("aesgcm", "all"),
    }
    async with encrypting(write(tmp_path / "e", **rules), memory) as (_, encryption):
        store = encryption.store
        starts = {}
        for resource in ("configmaps", "secrets", "deployments.apps", "widgets.example.com"):
            name = f"/registry/{resource}/default/a"
            await store.put(name, b"{}", expected=0)
            starts[resource] = (await raw(memory, name)).rpartition(b":")[0][:30]
        assert starts["configmaps"] == b""
        assert starts["secrets"].startswith(b"k8s:enc:aesgcm:v1:all")
        assert starts["deployments.apps"].startswith(b"k8s:enc:aesgcm:v1:apps")
        assert starts["widgets.example.com"].startswith(b"k8s:enc:aesgcm:v1:all")


async def test_conflicts_bring_the_open_value(tmp_path: Path) -> None:
    memory = MemoryStore()
    async with encrypting(write(tmp_path / "e", secrets=providers("secretbox", "one")), memory) as (_, encryption):
        store = encryption.store
        await store.put(PATH, b"text", expected=0)
        for attempt in (store.put(PATH, b"other", expected=0), store.delete(PATH, expected=9)):
            with pytest.raises(Conflict) as lost:
                await attempt
            assert lost.value.current is not None and lost.value.current.value == b"text"


async def test_a_bad_file_changes_nothing(tmp_path: Path) -> None:
    memory = MemoryStore()
    path = tmp_path / "e"
    async with encrypting(write(path, secrets=providers("aesgcm", "one")), memory) as (api, encryption):
        await api.ok("POST", SECRETS, secret())
        path.write_text("kind: Pod")
        with pytest.raises(ConfigError):
            await encryption.load()
        await api.ok("POST", SECRETS, secret("b"))
        assert (await raw(memory, "/registry/secrets/default/b")).startswith(b"k8s:enc:aesgcm:v1:one:")


async def test_the_file_is_followed_each_minute(tmp_path: Path) -> None:
    clock, path = HandClock(), tmp_path / "e"
    file = write(path, secrets=providers("aesgcm", "one"))
    async with Encryption(file, MemoryStore(), clock, Ids(), reload=True) as encryption:
        await clock.someone_sleeps()
        write(path, secrets=providers("aesgcm", "two"))
        await clock.advance(60)
        for _ in range(10):
            await asyncio.sleep(0)
        chain = encryption.store.chain_of(PATH)
        assert chain is not None and chain.tag == b"k8s:enc:aesgcm:v1:two:"


def test_resources_without_a_rule_cost_a_look_up() -> None:
    store = EncryptedStore(MemoryStore(), Chains({}), HandClock())
    assert store.chain_of("/registry/pods/default/a") is None
    assert not store.stale("/registry/pods/default/a")


# KMS v2


@pytest.fixture
async def plugin(tmp_path: Path) -> AsyncIterator[Plugin]:
    async with Plugin(str(tmp_path / "kms.sock")) as running:
        yield running


def kms(plugin: Plugin) -> list[dict[str, Any]]:
    return [{"kms": {"apiVersion": "v2", "name": "vault", "endpoint": plugin.endpoint}}]


def provider(encryption: Encryption) -> Any:
    """The KMS provider at work; tests ask it to look at its plugin when they want it to."""
    assert encryption._built is not None
    return encryption._built.kms[0]


async def test_a_plugin_is_asked_once_for_many_secrets(plugin: Plugin, tmp_path: Path) -> None:
    memory = MemoryStore()
    file = write(tmp_path / "e", secrets=kms(plugin))
    async with encrypting(file, memory) as (api, _):
        for number in range(20):
            await api.ok("POST", SECRETS, secret(f"s{number}"))
        assert plugin.calls == ["status", "encrypt"]
        assert (await raw(memory, "/registry/secrets/default/s1")).startswith(b"k8s:enc:kms:v2:vault:")
    plugin.calls.clear()
    async with encrypting(file, memory) as (api, _):
        found = await api.ok("GET", SECRETS)
        assert len(found["items"]) == 20
        assert base64.b64decode(found["items"][3]["data"]["key"]) == b"hidden"
    assert plugin.calls == ["status", "encrypt", "decrypt"]


async def test_a_new_key_of_the_plugin_makes_old_values_stale(plugin: Plugin, tmp_path: Path) -> None:
    memory, clock = MemoryStore(), HandClock()
    async with encrypting(write(tmp_path / "e", secrets=kms(plugin)), memory, clock=clock) as (api, encryption):
        made = await api.ok("POST", SECRETS, secret())
        assert not encryption.store.stale(PATH)
        plugin.key_id = "2"
        await provider(encryption).probe()
        assert encryption.store.stale(PATH)
        again = await api.ok("PUT", f"{SECRETS}/a", made)
        assert again["metadata"]["resourceVersion"] != made["metadata"]["resourceVersion"]
        assert not encryption.store.stale(PATH)


async def test_a_plugin_that_is_ill_is_told_and_ends_writing(plugin: Plugin, tmp_path: Path) -> None:
    memory, clock = MemoryStore(), HandClock()
    async with encrypting(write(tmp_path / "e", secrets=kms(plugin)), memory, clock=clock) as (api, encryption):
        (check,) = encryption.checks().values()
        assert list(encryption.checks()) == ["kms-provider-0"]
        assert await check() == ""
        await api.ok("POST", SECRETS, secret())
        plugin.health = "sealed"
        await provider(encryption).probe()
        assert await check() == "expected KMSv2 healthz status ok, got sealed"
        await api.ok("POST", SECRETS, secret("b"))
        clock.seconds += 200
        status, refusal = await api.call("POST", SECRETS, secret("c"))
        assert status == 500
        assert "expected KMSv2 healthz status ok, got sealed" in json.dumps(refusal)
        await api.ok("GET", f"{SECRETS}/a")


async def test_a_change_under_an_unknown_key_waits_for_the_plugin(plugin: Plugin, tmp_path: Path) -> None:
    memory, clock = MemoryStore(), HandClock()
    file = write(tmp_path / "e", secrets=kms(plugin))
    async with (
        Encryption(file, memory, HandClock(), Ids()) as one,
        Encryption(file, memory, clock, Ids()) as two,
    ):
        watch = two.store.watch("/registry/", 1)
        plugin.refuses = True
        await one.store.put(PATH, b"text", expected=0)
        waiting = asyncio.ensure_future(anext(watch))
        async with asyncio.timeout(5):
            await plugin.asked.wait()
        plugin.refuses = False
        assert not waiting.done()
        clock.sleepers = 0
        while not waiting.done():
            await clock.advance(1)
            await asyncio.sleep(0.001)
        assert [event.value for event in await waiting] == [b"text"]


async def test_without_its_plugin_a_server_still_serves_the_rest(tmp_path: Path) -> None:
    absent = [{"kms": {"apiVersion": "v2", "name": "vault", "endpoint": f"unix://{tmp_path}/none", "timeout": "1s"}}]
    async with encrypting(write(tmp_path / "e", secrets=absent), MemoryStore()) as (api, encryption):
        (check,) = encryption.checks().values()
        assert "failed to get status: rpc error: code = UNAVAILABLE" in await check()
        assert (await api.call("POST", SECRETS, secret()))[0] == 500
        await api.ok("POST", "/api/v1/namespaces/default/configmaps", config_map("m"))
