"""Run the API server alone, over sqlite, for load generators: everything is allowed, nothing else runs.

    python bench/apiserver.py --port 6443 --directory /tmp/bench [--profile out.prof]

The directory holds ca.crt, apiserver.crt and apiserver.key, unless ``--plain`` is given.
"""

import argparse
import asyncio
import cProfile
import gc
import signal
from pathlib import Path

import uvloop

from tiphys.apiserver import ApiServer, ApiServerConfig
from tiphys.apiserver.seams import Seams
from tiphys.store.memory import MemoryStore
from tiphys.store.sqlite import SqliteStore


async def _store(directory: Path, memory: bool) -> MemoryStore | SqliteStore:
    return MemoryStore() if memory else await SqliteStore.open(directory / "store.db")


async def run(arguments: argparse.Namespace) -> None:
    """Serve until told to stop."""
    directory: Path = arguments.directory
    tls = {
        "certificate": str(directory / "apiserver.crt"),
        "private_key": str(directory / "apiserver.key"),
        "client_ca": str(directory / "ca.crt"),
    }
    # As in a cluster of ``tiphys up``.
    config = ApiServerConfig(port=arguments.port, managed_fields_in_lists=False, **({} if arguments.plain else tls))
    store = await _store(directory, arguments.memory)
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with ApiServer(config, store, seams=Seams()) as api:
        await api.serve()
        gc.freeze()
        print(f"listening on {api.port}", flush=True)
        await ended.wait()
    await store.close()


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=6443)
    parser.add_argument("--directory", type=Path, default=Path("/tmp/tiphys-bench"))
    parser.add_argument("--plain", action="store_true", help="HTTP instead of HTTPS")
    parser.add_argument("--memory", action="store_true", help="the store in memory instead of sqlite")
    parser.add_argument("--profile", default="", help="write a profile to this file")
    arguments = parser.parse_args()
    profile = cProfile.Profile() if arguments.profile else None
    if profile:
        profile.enable()
    arguments.directory.mkdir(parents=True, exist_ok=True)
    uvloop.run(run(arguments))
    if profile:
        profile.disable()
        profile.dump_stats(arguments.profile)


if __name__ == "__main__":
    main()
