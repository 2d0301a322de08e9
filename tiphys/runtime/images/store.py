"""What images are on this node: an index of names, configurations by digest, unpacked layers by digest.

    images.json          names and digests to image ids, and each image's facts
    configs/<hex>        configuration, verified against its digest
    layers/<16 hex>      an unpacked layer, complete if it is there at all

A layer is unpacked beside its place and renamed, and the index is replaced as a
whole, so that a kill at any moment leaves nothing half.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from tiphys.runtime.images import unpack
from tiphys.runtime.images.reference import Reference

LAYER_NAME = 16


class ImageConfig(msgspec.Struct, rename="pascal"):
    """How an image wants to be run. Source: OCI Image Configuration, "config"."""

    entrypoint: list[str] | None = None
    cmd: list[str] | None = None
    env: list[str] | None = None
    user: str | None = ""
    working_dir: str | None = ""
    stop_signal: str | None = ""
    volumes: dict[str, Any] | None = None


class _RootFs(msgspec.Struct):
    diff_ids: list[str] = []


class Configuration(msgspec.Struct):
    """The part of an OCI image configuration that is read."""

    architecture: str = ""
    os: str = ""
    config: ImageConfig | None = None
    rootfs: _RootFs = msgspec.field(default_factory=_RootFs)


class Image(msgspec.Struct, kw_only=True):
    """``id`` is the digest of the configuration; ``layers`` are diff ids, lowest first."""

    id: str
    tags: list[str] = []
    digests: list[str] = []
    size: int = 0
    layers: list[str] = []
    config: ImageConfig = msgspec.field(default_factory=ImageConfig)
    #: Shows the host's own /usr.
    host: bool = False
    pinned: bool = False


class _Index(msgspec.Struct):
    images: dict[str, Image] = {}


class ImageStore:
    """Not for several threads at once: callers unpack in threads, but change the index from one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.layers_folder = folder / "layers"
        self._configs = folder / "configs"
        for place in (self.layers_folder, self._configs):
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in self.layers_folder.glob("partial-*"):
            shutil.rmtree(left)
        self._file = folder / "images.json"
        self._index = self._load()

    def _load(self) -> _Index:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=_Index)
        except FileNotFoundError:
            return _Index()

    def _save(self) -> None:
        write_atomically(self._file, msgspec.json.encode(self._index))

    def list(self) -> Sequence[Image]:
        return tuple(self._index.images.values())

    def find(self, name: str, reference: Reference | None) -> Image | None:
        """By id (with or without ``sha256:``, also abbreviated), tag or digest."""
        full = name if name.startswith("sha256:") else f"sha256:{name}"
        if (image := self._index.images.get(full)) is not None:
            return image
        wanted = str(reference) if reference is not None else ""
        by_digest = f"{reference.name}@{reference.digest}" if reference is not None and reference.digest else ""
        for image in self._index.images.values():
            if wanted in image.tags or (by_digest and by_digest in image.digests):
                return image
        return None

    def layer_path(self, diff_id: str) -> Path:
        return self.layers_folder / layer_name(diff_id)

    def has_layer(self, diff_id: str) -> bool:
        return self.layer_path(diff_id).is_dir()

    def add_layer(self, diff_id: str, stream: unpack.Readable) -> None:
        """Unpack a layer, verified against its digest. Blocks. Raises BadLayer, OSError."""
        if self.has_layer(diff_id):
            return
        partial = tempfile.mkdtemp(prefix="partial-", dir=self.layers_folder)
        try:
            os.chmod(partial, 0o755)
            verified = VerifiedStream(stream, diff_id)
            unpack.unpack(verified, partial)
            verified.finish()
            os.rename(partial, self.layer_path(diff_id))
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            if not self.has_layer(diff_id):
                raise

    def add_image(self, config: bytes, size: int, tags: Sequence[str], digests: Sequence[str]) -> Image:
        """Add an image whose layers are here, or more names for one that is. Tags move here from other images."""
        image_id = digest_of(config)
        described = msgspec.json.decode(config, type=Configuration)
        missing = [layer for layer in described.rootfs.diff_ids if not self.has_layer(layer)]
        if missing:
            raise unpack.BadLayer(f"image {image_id} lacks layer {missing[0]}")
        write_atomically(self._configs / image_id.removeprefix("sha256:"), config)
        image = self._index.images.get(image_id)
        if image is None:
            image = Image(
                id=image_id, size=size, layers=described.rootfs.diff_ids, config=described.config or ImageConfig()
            )
            self._index.images[image_id] = image
        for other in self._index.images.values():
            other.tags = [tag for tag in other.tags if tag not in tags]
        image.tags = sorted({*image.tags, *tags})
        image.digests = sorted({*image.digests, *digests})
        self._save()
        return image

    def put(self, image: Image) -> None:
        """Add an image that has no configuration file of its own."""
        self._index.images[image.id] = image
        self._save()

    def configuration(self, image: Image) -> bytes:
        try:
            return (self._configs / image.id.removeprefix("sha256:")).read_bytes()
        except FileNotFoundError:
            return b"{}"

    def remove(self, image: Image) -> None:
        """Forget an image; its layers go with the last image that has them."""
        self._index.images.pop(image.id, None)
        self._save()
        (self._configs / image.id.removeprefix("sha256:")).unlink(missing_ok=True)
        used = {layer for other in self._index.images.values() for layer in other.layers}
        for layer in set(image.layers) - used:
            shutil.rmtree(self.layer_path(layer), ignore_errors=True)

    def untag(self, image: Image, tag: str) -> None:
        image.tags = [other for other in image.tags if other != tag]
        self._save()


class VerifiedStream:
    """A reading stream that knows whether what came through has the digest that was promised."""

    def __init__(self, stream: unpack.Readable, digest: str) -> None:
        self._stream = stream
        self._digest = digest
        self._hash = hashlib.sha256()
        self.size = 0

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self._hash.update(data)
        self.size += len(data)
        return data

    def finish(self) -> None:
        """Read what is left, and raise BadLayer if the digest is another."""
        while self.read(1 << 20):
            pass
        found = f"sha256:{self._hash.hexdigest()}"
        if found != self._digest:
            raise unpack.BadLayer(f"digest is {found}, want {self._digest}")


def layer_name(diff_id: str) -> str:
    """The folder's name: short, because overlayfs takes all of them in one page of options."""
    return diff_id.removeprefix("sha256:")[:LAYER_NAME]


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def write_atomically(path: Path, data: bytes) -> None:
    """All of ``data`` or what was there before, also after a power loss."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)
