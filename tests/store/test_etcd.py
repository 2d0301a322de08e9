"""What is etcd's own: leases, progress, prefixes, TLS, shared compaction, members that die and come back.

Real members on loopback. Waiting is for events, bounded by time-outs.
"""

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from tests.store.etcd_server import Cluster
from tiphys.base.clock import RealClock
from tiphys.store.etcd.compaction import EtcdCompactor
from tiphys.store.etcd.config import EtcdConfig
from tiphys.store.etcd.keys import Keys, end_of
from tiphys.store.etcd.store import EtcdStore, progress_is_ordered
from tiphys.store.interface import Compacted, Conflict, Event, Unavailable, Watch


@asynccontextmanager
async def opened(cluster: Cluster, **settings: object) -> AsyncIterator[EtcdStore]:
    store = await EtcdStore.open(replace(EtcdConfig(cluster.urls), **settings))  # type: ignore[arg-type]
    try:
        yield store
    finally:
        await store.close()


async def until(watch: Watch, revision: int) -> list[Event]:
    """What the watch brings until it has reached ``revision``."""
    events: list[Event] = []
    async with asyncio.timeout(20):
        while watch.revision < revision:
            events.extend(await anext(watch))
    return events


def fresh() -> str:
    return f"/{uuid4()}"


# Time to live


async def test_a_key_ends_with_its_lease_unless_written_again(etcd: Cluster) -> None:
    async with opened(etcd, prefix=fresh()) as store:
        await store.put("/registry/a", b"1", expected=0, ttl_seconds=1)
        await store.put("/registry/b", b"1", expected=0, ttl_seconds=1)
        await store.put("/registry/b", b"2", expected=None)
        watch = store.watch("/registry/", store.revision)
        async with asyncio.timeout(10):
            (gone,) = await anext(watch)
        assert (gone.key, gone.deleted, gone.previous and gone.previous.value) == ("/registry/a", True, b"1")
        found = await store.get("/registry/b")
        assert found is not None and found.value == b"2"
        await store.delete("/registry/b")


async def test_keys_of_about_the_same_time_share_a_lease(etcd: Cluster) -> None:
    async with opened(etcd, prefix=fresh()) as store:
        leases = [await store._leases.of(3600) for _ in range(1001)]
        assert len(set(leases[:1000])) == 1
        assert leases[1000] != leases[0]
        assert await store._leases.of(60) not in leases


# How far a watch is


@pytest.mark.parametrize("asks", [False, True], ids=["by a marker", "by asking"])
async def test_a_watch_reaches_what_is_no_change_of_its_own(etcd: Cluster, asks: bool) -> None:
    async with opened(etcd, prefix=fresh()) as store, opened(etcd, prefix=fresh()) as other:
        store._asks = asks
        watch = store.watch("/registry/", store.revision)
        await other.put("/registry/a", b"", expected=0)
        latest = await store.latest()
        assert latest >= other.revision
        assert await until(watch, latest) == []


async def test_latest_is_shared_by_who_asks_at_once_and_covers_what_was_answered(etcd: Cluster) -> None:
    async with opened(etcd, prefix=fresh()) as store, opened(etcd, prefix=fresh()) as other:

        async def ask() -> None:
            written = await other.put(f"/registry/{uuid4()}", b"", expected=0)
            assert await store.latest() >= written

        await asyncio.gather(*(ask() for _ in range(100)))


@pytest.mark.parametrize(
    ("version", "ordered"),
    [
        ("3.4.23", False),
        ("3.4.31", True),
        ("3.5.12", False),
        ("3.5.13", True),
        ("3.6.0", True),
        ("3.6.0-rc.1", True),
        ("3.3.99", False),
        ("?", False),
    ],
)
def test_which_members_can_be_asked_for_progress(version: str, ordered: bool) -> None:
    assert progress_is_ordered(version) == ordered


async def test_more_than_fits_one_message_arrives_whole(etcd: Cluster) -> None:
    async with opened(etcd, prefix=fresh()) as store:
        first = store.revision
        values = {f"/registry/a/{number}": bytes([number]) * 1_200_000 for number in range(5)}
        for key, value in values.items():
            await store.put(key, value, expected=0)
        events = await until(store.watch("/registry/", first), store.revision)
        assert {event.key: event.value for event in events} == values
        assert {item.key: item.value for item in (await store.range("/registry/a/")).items} == values


# Keys


def test_a_prefix_takes_the_place_of_registry() -> None:
    assert Keys("/registry").stored("/registry/pods/a/b") == b"/registry/pods/a/b"
    keys = Keys("other/place/")
    assert keys.stored("/registry/pods/a/b") == b"/other/place/pods/a/b"
    assert keys.key(b"/other/place/pods/a/b") == "/registry/pods/a/b"


def test_the_end_of_a_range() -> None:
    assert end_of(b"/a/") == b"/a0"
    assert end_of(b"/a\xff\xff") == b"/b"
    assert end_of(b"") == b"\0"


async def test_prefixes_do_not_see_each_other(etcd: Cluster) -> None:
    one, two = fresh(), fresh()
    async with opened(etcd, prefix=one) as store, opened(etcd, prefix=two) as other:
        await store.put("/registry/a", b"1", expected=0)
        await other.put("/registry/a", b"2", expected=0)
        found = (await store.range("/registry/")).items
        assert [(item.key, item.value) for item in found] == [("/registry/a", b"1")]


async def test_large_ranges_are_read_in_pages_of_one_revision(etcd: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tiphys.store.etcd.store.PAGE_KEYS", 3)
    async with opened(etcd, prefix=fresh()) as store:
        for number in range(10):
            await store.put(f"/registry/p/{number}", b"", expected=0)
        found = await store.range("/registry/p/")
        assert (len(found.items), found.count, found.more) == (10, 10, False)
        found = await store.range("/registry/p/", limit=7)
        assert (len(found.items), found.count, found.more) == (7, 10, True)


# Compaction


async def test_one_of_several_servers_compacts_each_round(own_etcd: Cluster) -> None:
    own_etcd.start()
    async with opened(own_etcd) as store, opened(own_etcd) as second:
        compactors = [EtcdCompactor(one.client, RealClock()) for one in (store, second)]
        old = await store.put("/registry/a", b"1", expected=0)
        assert [await one.step() for one in compactors] == [False, False]
        noted = compactors[0].noted
        await store.put("/registry/a", b"2", expected=None)
        assert sorted([await one.step() for one in compactors]) == [False, True]
        await store.put("/registry/a", b"3", expected=None)
        with pytest.raises(Compacted) as refused:
            await anext(store.watch("/registry/", old - 1))
        assert refused.value.compact_revision == noted
        for _ in range(3):
            assert sum([await one.step() for one in compactors]) == 1


# Members that die


async def test_nothing_answered_is_lost_when_etcd_is_killed(own_etcd: Cluster) -> None:
    own_etcd.start()
    async with opened(own_etcd) as store:
        watch = store.watch("/registry/", store.revision)
        answered: dict[str, int] = {}
        enough = asyncio.Condition()

        async def write(writer: int) -> None:
            for number in range(60):
                key = f"/registry/c{writer}/{number}"
                try:
                    answered[key] = await store.put(key, b"x" * 500, expected=0)
                except (Unavailable, Conflict):
                    continue
                async with enough:
                    enough.notify_all()

        async def kill() -> None:
            (member,) = own_etcd.members
            for count in (40, 100):
                async with enough:
                    await enough.wait_for(lambda count=count: len(answered) >= count)
                member.kill()
                member.start()

        async with asyncio.timeout(30):
            await asyncio.gather(kill(), *(write(writer) for writer in range(4)))
            listed = {item.key: item.mod_revision for item in (await store.range("/registry/c")).items}
            events = await until(watch, await store.latest())
        assert answered.items() <= listed.items()
        assert len(answered) > 100
        revisions = [event.mod_revision for event in events]
        assert revisions == sorted(set(revisions))
        assert {event.key: event.mod_revision for event in events} == listed


async def test_three_members_go_on_without_their_leader(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, members=3)
    cluster.start()
    try:
        await cluster.ready()
        async with opened(cluster) as store:
            watch = store.watch("/registry/", store.revision)
            first = await store.put("/registry/a", b"1", expected=0)
            await until(watch, first)
            leader = await cluster.leader()
            # So that the store's own member is the one that dies.
            store.client.ask(leader.url)
            leader.kill()
            # Who leads next is decided first: etcd lets a write that comes meanwhile wait for five seconds.
            await cluster.leader()
            async with asyncio.timeout(20):
                while True:
                    try:
                        second = await store.put("/registry/b", b"2", expected=None)
                        break
                    except Unavailable:
                        await asyncio.sleep(0.05)
                assert [event.key for event in await until(watch, second)][-1] == "/registry/b"
                assert await store.latest() >= second
            leader.start()
    finally:
        cluster.stop()


async def test_etcd_away_and_back(own_etcd: Cluster) -> None:
    own_etcd.start()
    (member,) = own_etcd.members
    async with opened(own_etcd, request_seconds=0.5) as store:
        await store.put("/registry/a", b"1", expected=0)
        member.kill()
        with pytest.raises(Unavailable, match=f"etcd {member.url}: .*Connection refused"):
            await store.get("/registry/a")
        with pytest.raises(Unavailable):
            await store.put("/registry/a", b"2", expected=None)
        with pytest.raises(Unavailable):
            await store.check(0.2)
        member.start()
        async with asyncio.timeout(20):
            while True:
                try:
                    await store.check(2)
                    break
                except Unavailable:
                    continue
        found = await store.get("/registry/a")
        assert found is not None and found.value == b"1"
        member.signal(signal.SIGSTOP)
        try:
            with pytest.raises(Unavailable, match=r"^etcdserver: request timed out$"):
                await store.latest()
        finally:
            member.signal(signal.SIGCONT)


async def test_no_etcd_at_all(own_etcd: Cluster) -> None:
    with pytest.raises(Unavailable, match="Connection refused"):
        await EtcdStore.open(EtcdConfig(own_etcd.urls, connect_seconds=0.2))
    with pytest.raises(Unavailable, match="http://host:port or https://host:port is expected"):
        await EtcdStore.open(EtcdConfig(("127.0.0.1:2379",)))


# TLS


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """A CA and a certificate for 127.0.0.1, good for both sides."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=tmp_path, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=ca", "-days", "2")
    openssl("req", *key, "-keyout", "tls.key", "-out", "tls.csr", "-subj", "/CN=etcd")
    (tmp_path / "names").write_text("subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n")
    signing = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names")
    openssl("x509", "-req", "-in", "tls.csr", *signing, "-out", "tls.crt")
    return tmp_path


@pytest.fixture
def secure_etcd(authority: Path) -> Iterator[Cluster]:
    files = (f"--cert-file={authority}/tls.crt", f"--key-file={authority}/tls.key")
    trust = (f"--trusted-ca-file={authority}/ca.crt", "--client-cert-auth")
    cluster = Cluster(authority, tls=(*files, *trust))
    cluster.start()
    yield cluster
    cluster.stop()


async def test_tls_with_client_certificates(secure_etcd: Cluster, authority: Path) -> None:
    files = {"ca_file": "ca.crt", "cert_file": "tls.crt", "key_file": "tls.key"}
    paths = {name: str(authority / file) for name, file in files.items()}
    async with opened(secure_etcd, **paths) as store:
        await store.put("/registry/a", b"1", expected=0)
    with pytest.raises(Unavailable):
        await EtcdStore.open(EtcdConfig(secure_etcd.urls, ca_file=paths["ca_file"], connect_seconds=0.5))
    with pytest.raises(Unavailable, match="No such file"):
        await EtcdStore.open(EtcdConfig(secure_etcd.urls, ca_file=str(authority / "missing.crt")))
