"""One layer, from its tar stream into a folder in overlayfs' own form.

A layer may come from anywhere, so nothing in it is trusted: every path is
resolved within the folder, links included, and can neither leave it nor reach
the host through it. Whiteouts become the devices and attributes by which
overlayfs knows them, so a layer is unpacked once, whatever it is stacked on.
Source: OCI Image Specification, "Image Layer Filesystem Changeset".
"""

import os
import stat
import tarfile
from contextlib import suppress
from pathlib import PurePosixPath
from typing import IO, Protocol, cast

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"
LINKS_MAX = 40
XATTR_PREFIX = "SCHILY.xattr."


class Readable(Protocol):
    """What a layer is read from."""

    def read(self, size: int = -1, /) -> bytes: ...


class BadLayer(ValueError):
    """The stream is no layer, or tries to leave its folder."""


def resolve(root: str, path: str) -> str:
    """The place below ``root`` that ``path`` names, following links as a process inside would.

    Raises BadLayer on link loops.
    """
    parts = list(reversed(PurePosixPath("/" + path).parts[1:]))
    current: list[str] = []
    links = 0
    while parts:
        part = parts.pop()
        if part == "..":
            del current[-1:]
            continue
        place = os.path.join(root, *current, part)
        if not os.path.islink(place):
            current.append(part)
            continue
        links += 1
        if links > LINKS_MAX:
            raise BadLayer(f"too many links in {path}")
        target = os.readlink(place)
        if target.startswith("/"):
            current = []
        parts.extend(reversed([p for p in PurePosixPath(target).parts if p != "/"]))
    return os.path.join(root, *current)


def unpack(stream: Readable, folder: str) -> int:
    """Unpack an uncompressed or gzipped tar stream; returns the bytes of its files. Raises BadLayer, OSError."""
    size = 0
    times: list[tuple[str, float]] = []
    try:
        with tarfile.open(fileobj=cast(IO[bytes], stream), mode="r|*") as archive:
            for member in archive:
                place = _unpack_member(archive, member, folder)
                if place is not None and member.isdir():
                    times.append((place, member.mtime))
                size += member.size
    except (tarfile.TarError, EOFError) as error:
        raise BadLayer(f"layer is no tar archive: {error}") from error
    for place, mtime in reversed(times):
        os.utime(place, (mtime, mtime), follow_symlinks=False)
    return size


def _unpack_member(archive: tarfile.TarFile, member: tarfile.TarInfo, root: str) -> str | None:
    name = member.name.lstrip("/").rstrip("/")
    parts = PurePosixPath(name).parts
    if ".." in parts:
        raise BadLayer(f"layer has a path outside itself: {member.name}")
    if not parts or parts == (".",):
        os.chown(root, member.uid, member.gid)
        os.chmod(root, member.mode)
        return root
    parent = resolve(root, str(PurePosixPath(*parts[:-1])))
    os.makedirs(parent, exist_ok=True)
    base = parts[-1]
    if base == OPAQUE:
        os.setxattr(parent, "trusted.overlay.opaque", b"y")
        return None
    if base.startswith(WHITEOUT):
        place = os.path.join(parent, base.removeprefix(WHITEOUT))
        _clear(place)
        os.mknod(place, stat.S_IFCHR, os.makedev(0, 0))
        return None
    place = os.path.join(parent, base)
    if not (member.isdir() and os.path.isdir(place) and not os.path.islink(place)):
        _clear(place)
    _make(archive, member, place, root)
    return place


def _clear(place: str) -> None:
    """Remove what an earlier entry put here."""
    if os.path.isdir(place) and not os.path.islink(place):
        for base, folders, names in os.walk(place, topdown=False):
            for name in names:
                os.unlink(os.path.join(base, name))
            for name in folders:
                inner = os.path.join(base, name)
                os.unlink(inner) if os.path.islink(inner) else os.rmdir(inner)
        os.rmdir(place)
    else:
        with suppress(FileNotFoundError):
            os.unlink(place)


def _make(archive: tarfile.TarFile, member: tarfile.TarInfo, place: str, root: str) -> None:
    if member.isdir():
        os.makedirs(place, exist_ok=True)
    elif member.issym():
        os.symlink(member.linkname, place)
        os.lchown(place, member.uid, member.gid)
        return
    elif member.islnk():
        if ".." in PurePosixPath(member.linkname).parts:
            raise BadLayer(f"layer links outside itself: {member.name} -> {member.linkname}")
        target_parent = resolve(root, str(PurePosixPath(member.linkname.lstrip("/")).parent))
        os.link(os.path.join(target_parent, PurePosixPath(member.linkname).name), place, follow_symlinks=False)
        return
    elif member.isfile():
        source = archive.extractfile(member)
        assert source is not None
        with open(place, "wb") as target:
            while chunk := source.read(1 << 20):
                target.write(chunk)
    elif member.isfifo():
        os.mkfifo(place)
    elif member.ischr() or member.isblk():
        kind = stat.S_IFCHR if member.ischr() else stat.S_IFBLK
        os.mknod(place, kind, os.makedev(member.devmajor, member.devminor))
    else:
        raise BadLayer(f"layer has an entry of unknown type: {member.name}")
    os.chown(place, member.uid, member.gid)
    # After chown, which takes setuid bits away.
    os.chmod(place, member.mode)
    for key, value in member.pax_headers.items():
        if key.startswith(XATTR_PREFIX):
            with suppress(OSError):
                os.setxattr(place, key.removeprefix(XATTR_PREFIX), value.encode("utf-8", "surrogateescape"))
    if not member.isdir():
        os.utime(place, (member.mtime, member.mtime))
