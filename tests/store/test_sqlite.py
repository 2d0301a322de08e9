"""What only the durable store does: share commits, refuse as a whole, come back after a restart."""

import asyncio
import stat
from pathlib import Path

import pytest

from tiphys.base.clock import RealClock
from tiphys.store.compaction import Compactor
from tiphys.store.database import Database
from tiphys.store.interface import Unavailable
from tiphys.store.sqlite import SqliteStore


async def test_it_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = await SqliteStore.open(path)
    await store.put("/a", b"1", expected=0)
    await store.put("/b", b"1", expected=0, ttl_seconds=3600)
    await store.delete("/a")
    await store.compact(4)
    await store.close()
    again = await SqliteStore.open(path)
    assert again.revision == 4
    assert await again.put("/b", b"2", expected=3) == 5
    await again.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_concurrent_writes_share_commits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commits: list[int] = []
    real = Database.commit
    monkeypatch.setattr(Database, "commit", lambda self, writes: (commits.append(len(writes)), real(self, writes))[1])
    store = await SqliteStore.open(tmp_path / "store.db")
    await asyncio.gather(*(store.put(f"/{n}", b"", expected=0) for n in range(100)))
    assert sum(commits) == 100
    assert len(commits) <= 3
    await store.close()


async def test_a_full_disk_rejects_all_that_was_staged_and_corrupts_nothing(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "store.db")
    await store.put("/a", b"1", expected=0)
    watch = store.watch("/", store.revision)
    pages = store._database._db.execute("PRAGMA page_count").fetchone()[0]
    store._database._db.execute(f"PRAGMA max_page_count={pages}")
    big = b"x" * 100_000
    results = await asyncio.gather(
        store.put("/a", big, expected=2), store.put("/b", b"", expected=0), return_exceptions=True
    )
    assert all(isinstance(r, Unavailable) and "store.db" in str(r) and "full" in str(r) for r in results), results
    assert store.revision == 2
    store._database._db.execute("PRAGMA max_page_count=1000000")
    assert await store.put("/a", b"2", expected=2) == 3
    (event,) = await anext(watch)
    assert (event.value, event.mod_revision) == (b"2", 3)
    assert await store.get("/b") is None
    await store.close()


async def test_closing_finishes_what_was_staged(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = await SqliteStore.open(path)
    writes = [asyncio.ensure_future(store.put(f"/{n}", b"", expected=0)) for n in range(20)]
    await asyncio.sleep(0)
    await store.close()
    assert sorted(await asyncio.gather(*writes)) == list(range(2, 22))
    with pytest.raises(Unavailable):
        await store.put("/x", b"", expected=0)


async def test_a_path_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"missing/store\.db"):
        await SqliteStore.open(tmp_path / "missing" / "store.db")


async def test_the_compactor_keeps_the_window(tmp_path: Path) -> None:
    class Ticks(RealClock):
        """Each sleep is over at once and takes a minute."""

        minutes = 0

        def monotonic(self) -> float:
            return self.minutes * 60.0

        async def sleep(self, seconds: float) -> None:
            assert seconds == 60
            self.minutes += 1
            await store.put("/a", b"%d" % self.minutes, expected=None)
            if self.minutes >= 12:
                reached.set()
                await asyncio.Event().wait()

    reached = asyncio.Event()
    store = await SqliteStore.open(tmp_path / "store.db")
    async with Compactor(store, Ticks()):
        async with asyncio.timeout(10):
            await reached.wait()
    assert store._compacted == 7  # written six minutes before the last note, five minutes of history stay
    await store.close()
