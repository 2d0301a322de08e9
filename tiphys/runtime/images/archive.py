"""Images from files: docker-archive (``docker save``) and OCI layouts, as tar archives.

Source: OCI Image Layout Specification; the docker-archive form as ``skopeo`` and ``docker`` write it.
"""

import gzip
import io
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

import msgspec

from tiphys.runtime.images import reference
from tiphys.runtime.images.registry import INDEX_TYPES, Descriptor, Index, Manifest, choose_platform
from tiphys.runtime.images.store import Image, ImageStore
from tiphys.runtime.images.unpack import BadLayer

JSON_BYTES_MAX = 16 * 1024 * 1024
REFERENCE_NAME = "org.opencontainers.image.ref.name"


class _DockerManifest(msgspec.Struct, rename={"config": "Config", "tags": "RepoTags", "layers": "Layers"}):
    config: str
    layers: list[str]
    tags: list[str] | None = None


class _Diffs(msgspec.Struct):
    diff_ids: list[str] = []


class _Config(msgspec.Struct):
    rootfs: _Diffs = msgspec.field(default_factory=_Diffs)


def load(store: ImageStore, path: Path, name: str = "") -> Sequence[Image]:
    """Load all images of an archive. ``name`` is given to one that has none. Blocks.

    Raises BadLayer with what is wrong with the archive, OSError.
    """
    try:
        with tarfile.open(path, "r:*") as archive:
            members = {member.name.removeprefix("./"): member for member in archive.getmembers()}

            def open_member(member: str) -> IO[bytes]:
                found = members.get(member)
                file = archive.extractfile(found) if found is not None else None
                if file is None:
                    raise BadLayer(f"{path}: the archive lacks {member}")
                return file

            if "manifest.json" in members:
                return _load_docker(store, open_member, name)
            if "index.json" in members:
                return _load_layout(store, open_member, name)
    except (tarfile.TarError, EOFError, msgspec.DecodeError) as error:
        raise BadLayer(f"{path}: not an image archive: {error}") from error
    raise BadLayer(f"{path}: neither a docker archive (manifest.json) nor an OCI layout (index.json)")


def _json(file: IO[bytes]) -> bytes:
    data = file.read(JSON_BYTES_MAX + 1)
    if len(data) > JSON_BYTES_MAX:
        raise BadLayer("a manifest is too large")
    return data


def _full(tag: str) -> str:
    return str(reference.parse(tag))


def _load_docker(store: ImageStore, open_member: Callable[[str], IO[bytes]], name: str) -> list[Image]:
    manifests = msgspec.json.decode(_json(open_member("manifest.json")), type=list[_DockerManifest])
    images = []
    for manifest in manifests:
        config = _json(open_member(manifest.config))
        diff_ids = msgspec.json.decode(config, type=_Config).rootfs.diff_ids
        size = len(config)
        for diff_id, layer in zip(diff_ids, manifest.layers, strict=True):
            with _plain(open_member(layer)) as stream:
                store.add_layer(diff_id, stream)
                stream.seek(0, io.SEEK_END)
                size += stream.tell()
        tags = [_full(tag) for tag in manifest.tags or ([name] if name else [])]
        images.append(store.add_image(config, size, tags, ()))
    return images


def _plain(file: IO[bytes]) -> IO[bytes]:
    """Layers are hashed uncompressed, and docker archives may hold them compressed."""
    magic = file.read(4)
    file.seek(0)
    if magic.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=file)  # type: ignore[return-value]  # reads as a binary file does
    if magic == b"\x28\xb5\x2f\xfd":
        raise BadLayer("layers compressed with zstd are not supported; recompress the image with gzip")
    return file


def _load_layout(store: ImageStore, open_member: Callable[[str], IO[bytes]], name: str) -> list[Image]:
    def blob(descriptor: Descriptor) -> IO[bytes]:
        return open_member(f"blobs/{descriptor.digest.replace(':', '/')}")

    images = []
    for entry in msgspec.json.decode(_json(open_member("index.json")), type=Index).manifests:
        tag = (entry.annotations or {}).get("io.containerd.image.name") or (entry.annotations or {}).get(REFERENCE_NAME)
        descriptor = entry
        while descriptor.mediaType in INDEX_TYPES:
            descriptor = choose_platform(msgspec.json.decode(_json(blob(descriptor)), type=Index))
        manifest = msgspec.json.decode(_json(blob(descriptor)), type=Manifest)
        config = _json(blob(manifest.config))
        diff_ids = msgspec.json.decode(config, type=_Config).rootfs.diff_ids
        for diff_id, layer in zip(diff_ids, manifest.layers, strict=True):
            with _plain(blob(layer)) as stream:
                store.add_layer(diff_id, stream)
        # A reference name in a layout may be a tag alone, which names no image.
        named = name or (tag if tag and ("/" in tag or ":" in tag) else "")
        size = manifest.config.size + sum(layer.size for layer in manifest.layers)
        images.append(store.add_image(config, size, [_full(named)] if named else [], ()))
    return images
