"""Informers against the real API server in memory, and against one that misbehaves."""

import asyncio
from collections.abc import Callable

import msgspec
import pytest

from tests.client.server import Script
from tests.client.virtual import VirtualClock
from tiphys.api import core_v1, meta_v1
from tiphys.apiserver import ApiServer, ApiServerConfig
from tiphys.client import Client, Informer, Informers, InProcessTransport
from tiphys.machinery import codec, errors
from tiphys.store.memory import MemoryStore
from tiphys.wire.exchange import Request, Response, Sink


def config_map(name: str, version: str = "", **data: str) -> core_v1.ConfigMap:
    metadata = meta_v1.ObjectMeta(name=name, namespace="default", resourceVersion=version, labels={"l": name[:1]})
    return core_v1.ConfigMap(metadata=metadata, data=data or None)


class Recording:
    """What handlers were told, and a way to wait for it."""

    def __init__(self, informer: Informer[core_v1.ConfigMap]) -> None:
        self.told: list[tuple[str, ...]] = []
        self._changed = asyncio.Event()
        informer.add_handler(
            added=lambda obj: self._tell("added", _name(obj)),
            updated=lambda old, new: self._tell("updated", _name(new)),
            deleted=lambda obj: self._tell("deleted", _name(obj)),
        )

    def _tell(self, *what: str) -> None:
        self.told.append(what)
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


async def test_follows_a_real_server() -> None:
    async with ApiServer(ApiServerConfig(), MemoryStore()) as api:
        client = Client(InProcessTransport(api.handle))
        await client.of(core_v1.Namespace).create(core_v1.Namespace(metadata=meta_v1.ObjectMeta(name="default")))
        maps = client.of(core_v1.ConfigMap)
        await maps.create(config_map("a1"))
        informers = Informers(client)
        informer = informers.of(core_v1.ConfigMap)
        selected = informers.of(core_v1.ConfigMap, labels="l=b")
        informer.add_index("label", lambda obj: [obj.metadata.labels["l"]])
        assert informers.of(core_v1.ConfigMap) is informer
        told, told_selected = Recording(informer), Recording(selected)
        async with informers:
            await informers.wait_synced()
            assert informer.synced and informer.keys() == ["default/a1"]
            await maps.create(config_map("b1"))
            created = await maps.get("a1", "default")
            created.data = {"k": "v"}
            await maps.update(created)
            await maps.delete("b1", "default")
            await told.until(lambda: len(told.told) == 4)
            assert told.told == [("added", "a1"), ("added", "b1"), ("updated", "a1"), ("deleted", "b1")]
            await told_selected.until(lambda: len(told_selected.told) == 2)
            assert told_selected.told == [("added", "b1"), ("deleted", "b1")]
            assert [obj.metadata.name for obj in informer.by_index("label", "a")] == ["a1"]
            assert informer.by_index("label", "b") == []
            found = informer.get("default/a1")
            assert found is not None and found.data == {"k": "v"}
            late = Recording(informer)
            assert late.told == [("added", "a1")]


def _name(obj: object) -> str:
    return obj if isinstance(obj, str) else obj.metadata.name  # type: ignore[attr-defined]


def listed(version: str, *objects: core_v1.ConfigMap) -> Response:
    metadata = meta_v1.ListMeta(resourceVersion=version)
    return Response(200, body=codec.encode(core_v1.ConfigMapList(metadata=metadata, items=list(objects))))


def watched(*lines: tuple[str, object], hang: bool = False, cut: int = 0) -> Callable[[Request], object]:
    """A watch that sends ``lines`` (in pieces of ``cut`` bytes) and then ends, or hangs."""

    async def answer(_: Request) -> Response:
        body = b"".join(
            b'{"type":"' + kind.encode() + b'","object":' + codec.encode(obj) + b"}\n" for kind, obj in lines
        )

        async def write(sink: Sink) -> None:
            for start in range(0, len(body), cut or len(body) or 1):
                sink.write(body[start : start + (cut or len(body))])
                await asyncio.sleep(0)
            if hang:
                await sink.wait_closed()

        return Response(200, stream=write)

    return answer


async def follow(script: Script, condition: Callable[["Recording"], bool]) -> tuple[Recording, Informer]:
    informers = Informers(Client(InProcessTransport(script), clock=VirtualClock()), VirtualClock())
    informer = informers.of(core_v1.ConfigMap)
    recording = Recording(informer)
    async with informers:
        await recording.until(lambda: condition(recording))
        for _ in range(20):
            await asyncio.sleep(0)
    return recording, informer


@pytest.mark.parametrize("cut", [0, 1, 7], ids=["whole", "byte by byte", "in pieces"])
async def test_lines_end_anywhere(cut: int) -> None:
    script = Script(
        listed("5", config_map("a", "3")),
        watched(("ADDED", config_map("b", "6")), ("DELETED", config_map("a", "7")), hang=True, cut=cut),
    )
    told, informer = await follow(script, lambda r: len(r.told) == 3)
    assert told.told == [("added", "a"), ("added", "b"), ("deleted", "a")]
    assert informer.resource_version == "7"
    assert script.asked[1].query["resourceVersion"] == ("5",)


async def test_an_ended_watch_resumes_after_its_bookmark() -> None:
    script = Script(
        listed("5"),
        watched(("ADDED", config_map("a", "6")), ("BOOKMARK", config_map("", "9"))),
        watched(("ADDED", config_map("b", "10")), hang=True),
    )
    told, _ = await follow(script, lambda r: len(r.told) == 2)
    assert told.told == [("added", "a"), ("added", "b")]
    assert script.asked[2].query["resourceVersion"] == ("9",)


@pytest.mark.parametrize("how", ["status", "event"])
async def test_gone_becomes_a_difference(how: str) -> None:
    gone = errors.Expired("too old resource version: 5 (9)").status()
    first = Response(410, body=codec.encode(gone)) if how == "status" else watched(("ERROR", gone))
    script = Script(
        listed("5", config_map("a", "1"), config_map("b", "2"), config_map("c", "3")),
        first,
        listed("20", config_map("a", "1"), config_map("b", "15", changed="yes"), config_map("d", "16")),
        watched(hang=True),
    )
    told, informer = await follow(script, lambda r: len(r.told) == 6)
    assert told.told[3:] == [("updated", "b"), ("added", "d"), ("deleted", "c")]
    # The second list must not be older than what was seen.
    assert "resourceVersion" not in script.asked[2].query
    assert informer.resource_version == "20"


async def test_a_lost_server_is_tried_again() -> None:
    async def lost(_: Request) -> Response:
        raise ConnectionResetError("gone")

    script = Script(lost, lost, lost, lost, lost, listed("5", config_map("a", "1")), lost, watched(hang=True))
    told, informer = await follow(script, lambda r: len(r.told) == 1)
    assert len(script.asked) == 8
    assert told.told == [("added", "a")] and informer.synced


async def test_a_garbled_stream_is_begun_anew() -> None:
    async def garbled(_: Request) -> Response:
        return Response(200, body=b"<html>\n")

    script = Script(garbled, listed("5"), garbled, watched(("ADDED", config_map("a", "6")), hang=True))
    told, _ = await follow(script, lambda r: len(r.told) == 1)
    assert told.told == [("added", "a")]


async def test_a_bad_object_and_a_bad_handler_stop_nobody() -> None:
    script = Script(
        listed("5"),
        watched(
            ("ADDED", {"metadata": {"name": "bad", "namespace": "default", "resourceVersion": "6"}, "data": [1]}),
            ("ADDED", {"metadata": {"name": "new", "namespace": "default", "resourceVersion": "7"}, "novel": 1}),
            ("ADDED", config_map("a", "8")),
            hang=True,
        ),
    )
    informers = Informers(Client(InProcessTransport(script)))
    informer = informers.of(core_v1.ConfigMap)
    informer.add_handler(added=lambda _: 1 / 0)  # type: ignore[arg-type,return-value]
    told = Recording(informer)
    async with informers:
        await told.until(lambda: len(told.told) == 2)
    assert told.told == [("added", "new"), ("added", "a")]


class SmallMeta(msgspec.Struct):
    name: str = ""
    namespace: str = ""
    resourceVersion: str = ""


class Small(msgspec.Struct):
    metadata: SmallMeta = msgspec.field(default_factory=SmallMeta)


async def test_views_and_transforms_keep_little() -> None:
    both = (
        listed("5", config_map("a", "1"), config_map("b", "2")),
        watched(("DELETED", config_map("a", "9")), hang=True),
    )
    informers = Informers(Client(InProcessTransport(Script(*both))))
    view = informers.view_of(core_v1.ConfigMap, Small)
    told = Recording(view)  # type: ignore[arg-type]
    async with informers:
        await told.until(lambda: len(told.told) == 3)
    assert view.list() == [Small(SmallMeta("b", "default", "2"))]

    informers = Informers(Client(InProcessTransport(Script(*both))))
    names = informers.of(
        core_v1.ConfigMap, transform=lambda obj: obj.metadata.name if obj.metadata.name != "b" else None
    )
    heard: list[object] = []
    names.add_handler(added=heard.append, deleted=heard.append)
    async with informers:
        await informers.wait_synced()
        told = Recording(names)
        await told.until(lambda: len(heard) == 2)
    assert heard == ["a", "a"] and names.list() == []
