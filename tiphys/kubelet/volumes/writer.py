"""Writes a set of files so that a reader sees all of a change or none of it.

The files lie in a directory named by the time, ``..data`` points at it, and
each file's first path element is a link through ``..data``; a change makes a
new directory and moves the one link. Readers that hold a directory open keep
what they have; programs that watch ``..data`` see one rename.
Source: Kubernetes docs, "ConfigMaps", "Mounted ConfigMaps are updated automatically"; the layout is what
programs that watch mounted files rely on.
"""

import os
import shutil
from datetime import datetime
from pathlib import Path

from tiphys.kubelet.volumes.payload import Payload

DATA = "..data"
_NEXT = "..data_tmp"


def write(directory: Path, payload: Payload, now: datetime, group: int | None = None) -> bool:
    """Make ``directory`` hold exactly ``payload``; False if it did already. ``group`` gets the files if given."""
    for path in payload:
        check(path)
    old = _current(directory)
    if old is not None and _same(directory / old, payload):
        _drop_stale(directory, payload)
        return False
    fresh = _fresh(directory, now)
    for path, file in payload.items():
        target = fresh / path
        _make_parents(fresh, target.parent, group)
        _create(target, file.data, file.mode, file.uid, group)
    link = directory / _NEXT
    link.unlink(missing_ok=True)
    link.symlink_to(fresh.name)
    link.rename(directory / DATA)
    for name in {path.split("/")[0] for path in payload}:
        visible = directory / name
        if not visible.is_symlink():
            visible.symlink_to(f"{DATA}/{name}")
    _drop_stale(directory, payload)
    if old is not None:
        shutil.rmtree(directory / old, ignore_errors=True)
    return True


def check(path: str) -> None:
    """Raises ValueError for a path that would leave the volume or collide with the writer's own names."""
    parts = path.split("/")
    if not path or path.startswith("/") or ".." in parts or parts[0].startswith(".."):
        raise ValueError(f"invalid path: {path!r}")


def _current(directory: Path) -> str | None:
    try:
        return os.readlink(directory / DATA)
    except FileNotFoundError:
        return None


def _same(directory: Path, payload: Payload) -> bool:
    present = {str(p.relative_to(directory)) for p in directory.rglob("*") if p.is_file()}
    if present != set(payload):
        return False
    return all((directory / path).read_bytes() == file.data for path, file in payload.items())


def _fresh(directory: Path, now: datetime) -> Path:
    base = now.strftime("..%Y_%m_%d_%H_%M_%S.%f")
    for number in range(1000):
        path = directory / (f"{base}{number}" if number else base)
        try:
            path.mkdir(mode=0o755)
        except FileExistsError:
            continue
        path.chmod(0o755)
        return path
    raise FileExistsError(base)


def _make_parents(root: Path, directory: Path, group: int | None) -> None:
    missing = []
    while directory != root and not directory.exists():
        missing.append(directory)
        directory = directory.parent
    for path in reversed(missing):
        path.mkdir()
        path.chmod(0o755)
        if group is not None:
            os.chown(path, -1, group)


def _create(path: Path, data: bytes, mode: int, uid: int | None, group: int | None) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, data) if data else None
        if uid is not None or group is not None:
            os.fchown(descriptor, uid if uid is not None else -1, group if group is not None else -1)
        # What the group may do is decided with the ownership; reading at least.
        os.fchmod(descriptor, mode | 0o440 if group is not None else mode)
    finally:
        os.close(descriptor)


def _drop_stale(directory: Path, payload: Payload) -> None:
    """Remove visible links whose file is gone."""
    wanted = {path.split("/")[0] for path in payload}
    for entry in directory.iterdir():
        if entry.is_symlink() and not entry.name.startswith("..") and entry.name not in wanted:
            entry.unlink()
