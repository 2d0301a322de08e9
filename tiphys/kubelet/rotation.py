"""Keeps container logs from filling the disk: a log that has grown is set aside, and the oldest go.

The runtime writes; the kubelet renames the file and asks it to open a new one.
Source: Kubernetes docs, "Logging Architecture", "Log rotation".
"""

import gzip
import logging
import shutil
from asyncio import to_thread
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from tiphys.kubelet.agent import PodAgent
from tiphys.kubelet.context import Context
from tiphys.kubelet.cri import RuntimeFault

logger = logging.getLogger(__name__)


class Rotation:
    def __init__(self, context: Context, agents: Mapping[str, PodAgent]) -> None:
        self._context = context
        self._agents = agents

    async def run(self) -> None:
        while True:
            await self._context.clock.sleep(self._context.config.log_check_seconds)
            for path, container_id in self.grown():
                try:
                    await self._rotate(path, container_id)
                except (OSError, RuntimeFault) as fault:
                    logger.warning("rotating %s: %s", path, fault)

    def grown(self) -> list[tuple[Path, str]]:
        """Logs of running containers that are too large, with their container."""
        found: list[tuple[Path, str]] = []
        for agent in list(self._agents.values()):
            directory = self._context.paths(agent.pod).log_directory
            for fact in agent.facts.containers:
                path = directory / fact.name / f"{fact.attempt}.log"
                if fact.state == "running" and _size(path) > self._context.config.log_bytes_max:
                    found.append((path, fact.id))
        return found

    async def _rotate(self, path: Path, container_id: str) -> None:
        aside = set_aside(path, self._context.clock.now())
        try:
            await self._context.cri.reopen_log(container_id)
        except RuntimeFault:
            aside.rename(path)
            raise
        await to_thread(tidy, path, aside, self._context.config.log_files_max)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def set_aside(path: Path, now: datetime) -> Path:
    return path.rename(path.with_name(f"{path.name}.{now.strftime('%Y%m%d-%H%M%S')}"))


def tidy(path: Path, newest: Path, files_max: int) -> None:
    """Compress all that were set aside but the newest, and keep ``files_max`` files in all."""
    older = sorted(p for p in path.parent.glob(f"{path.name}.*") if p != newest)
    # The log itself and the newest one set aside count as well.
    for surplus in older[: max(0, len(older) - (files_max - 2))]:
        surplus.unlink(missing_ok=True)
    for plain in older:
        if plain.suffix == ".gz" or not plain.exists():
            continue
        packed = plain.with_name(f"{plain.name}.gz")
        with plain.open("rb") as source, gzip.open(packed, "wb", compresslevel=1) as target:
            shutil.copyfileobj(source, target)
        plain.unlink()
