"""What is remembered of sandboxes and containers, on disk before it is acted on, so that a kill loses nothing.

One file each, replaced as a whole. CRI's own messages are kept in their wire form.
"""

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from tiphys.runtime.cri import api_pb2

logger = logging.getLogger(__name__)
T = TypeVar("T", bound="_Record")


class _Record(msgspec.Struct, kw_only=True):
    id: str
    created_at: int


class Sandbox(_Record, kw_only=True):
    """``config`` is a PodSandboxConfig. Times are nanoseconds since 1970."""

    config: bytes
    runtime_handler: str = ""
    ready: bool = True
    addresses: list[str] = []
    #: Kind of namespace to the path that holds it.
    pins: dict[str, str] = {}
    shm: str = ""
    #: First process of a shared PID namespace, 0 if there is none.
    init_pid: int = 0

    def message(self) -> api_pb2.PodSandboxConfig:
        return api_pb2.PodSandboxConfig.FromString(self.config)


class Container(_Record, kw_only=True):
    """``config`` is a ContainerConfig; ``exit_code`` is set once it has ended."""

    sandbox_id: str
    config: bytes
    image_id: str
    #: A digest under which the image was pulled; empty for one that was loaded.
    image_ref: str = ""
    cgroup: str
    log_path: str = ""
    pid: int = 0
    started_at: int = 0
    finished_at: int = 0
    exit_code: int | None = None
    reason: str = ""
    text: str = ""
    uid: int = 0
    gid: int = 0
    groups: list[int] = []
    stop_signal: str = "SIGTERM"
    #: OOM kills in its group before it ended.
    oom_kills: int = 0

    def message(self) -> api_pb2.ContainerConfig:
        return api_pb2.ContainerConfig.FromString(self.config)

    @property
    def state(self) -> api_pb2.ContainerState:
        if self.exit_code is not None:
            return api_pb2.CONTAINER_EXITED
        return api_pb2.CONTAINER_RUNNING if self.pid else api_pb2.CONTAINER_CREATED


class Records(Generic[T]):
    """A folder of records, in memory and on disk."""

    def __init__(self, folder: Path, kind: type[T]) -> None:
        self._folder = folder
        self._items: dict[str, T] = {}
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        decoder = msgspec.json.Decoder(kind)
        for place in folder.iterdir():
            try:
                record = decoder.decode((place / "record.json").read_bytes())
            except (FileNotFoundError, msgspec.DecodeError) as error:
                # A kill between the folder and its record, or halfway through their removal.
                logger.warning("%s is removed: %s", place, error)
                shutil.rmtree(place, ignore_errors=True)
            else:
                self._items[record.id] = record

    def folder(self, record_id: str) -> Path:
        """A place of the record's own, for whatever belongs to it."""
        return self._folder / record_id

    def save(self, record: T) -> None:
        """Replacing the file is atomic; what a power loss can take is at worst the newest state of a dead process."""
        folder = self.folder(record.id)
        folder.mkdir(mode=0o711, exist_ok=True)
        partial = folder / ".record.partial"
        partial.write_bytes(msgspec.json.encode(record))
        partial.replace(folder / "record.json")
        self._items[record.id] = record

    def find(self, record_id: str) -> T | None:
        return self._items.get(record_id)

    def match(self, prefix: str) -> T | None:
        """By id, or by an abbreviation that only one has."""
        if (found := self._items.get(prefix)) is not None:
            return found
        matching = [record for key, record in self._items.items() if prefix and key.startswith(prefix)]
        return matching[0] if len(matching) == 1 else None

    def forget(self, record_id: str) -> None:
        """Only the memory; the caller removes the folder."""
        self._items.pop(record_id, None)

    def __iter__(self) -> Iterator[T]:
        return iter(list(self._items.values()))
