"""A writing server is killed at random moments, many times: every answered write is there, none is half there.

The writer reports each answered write; the killer reads a random number of
reports, kills it with SIGKILL and then compares the file with the reports.
"""

import asyncio
import random
import subprocess
import sys
from pathlib import Path

from tiphys.store.interface import Event
from tiphys.store.sqlite import SqliteStore

KILLS = 25


def run_until_killed(path: Path, seed: int, reports: int) -> list[str]:
    """What the writer had answered, whole lines only, when it was killed."""
    script = Path(__file__).with_name("crash_writer.py")
    writer = subprocess.Popen([sys.executable, script, str(path), str(seed)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    lines = [writer.stdout.readline() for _ in range(reports)]
    writer.kill()
    lines += writer.stdout.readlines()
    writer.stdout.close()
    writer.wait()
    return [line.strip() for line in lines if line.endswith("\n")]


async def history(path: Path, after: int) -> tuple[list[Event], dict[str, tuple[int, bytes]]]:
    """All changes after ``after`` as a resuming watcher sees them, and what a list shows."""
    store = await SqliteStore.open(path)
    events: list[Event] = []
    if store.revision > after:
        watch = store.watch("/", after)
        while not events or events[-1].mod_revision < store.revision:
            events.extend(await anext(watch))
    listed = {item.key: (item.mod_revision, item.value) for item in (await store.range("/")).items}
    await store.close()
    return events, listed


async def test_nothing_answered_is_lost_and_nothing_is_half_written(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    source = random.Random(20260131)
    state: dict[str, tuple[int, bytes]] = {}
    seen = 1
    for kill in range(KILLS):
        answered = await asyncio.to_thread(run_until_killed, path, kill, source.randrange(1, 120))
        events, listed = await history(path, seen)
        by_revision = {event.mod_revision: event for event in events}
        assert list(by_revision) == list(range(seen + 1, seen + 1 + len(events))), "a revision is missing or twice"
        for line in answered:
            key, revision, value = line.split(" ")
            event = by_revision[int(revision)]
            assert event.key == key
            assert event.deleted if value == "-" else event.value == value.encode()
        for event in events:
            assert (event.previous and (event.previous.mod_revision, event.previous.value)) == state.get(event.key)
            if event.deleted:
                del state[event.key]
            else:
                state[event.key] = (event.mod_revision, event.value)
        assert listed == state
        seen = max([seen, *by_revision])
    assert seen > KILLS
