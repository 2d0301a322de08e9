"""Run by test_crash.py: writes as fast as it can and reports what was answered, until it is killed.

Each line on standard output is one answered write: ``key revision value``.
"""

import asyncio
import random
import sys
from pathlib import Path

from tiphys.store.interface import Conflict
from tiphys.store.sqlite import SqliteStore


async def client(store: SqliteStore, number: int, source: random.Random) -> None:
    known: dict[str, int] = {}
    step = 0
    while True:
        step += 1
        key = f"/c{number}/{source.randrange(5)}"
        value = f"{number}-{step}-{'x' * source.randrange(3000)}"
        try:
            if key in known and source.random() < 0.3:
                revision = await store.delete(key, expected=known.pop(key))
                value = "-"
            else:
                revision = await store.put(key, value.encode(), expected=known.get(key))
                known[key] = revision
        except Conflict:
            found = await store.get(key)
            known[key] = found.mod_revision if found else 0
            continue
        sys.stdout.write(f"{key} {revision} {value}\n")
        sys.stdout.flush()


async def main(path: str, seed: str) -> None:
    store = await SqliteStore.open(Path(path))
    source = random.Random(int(seed))
    async with asyncio.TaskGroup() as group:
        for number in range(8):
            group.create_task(client(store, number, random.Random(source.random())))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
