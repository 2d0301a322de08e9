"""The image store of a cluster's node, asked through its runtime's socket."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import grpc

from tiphys.cli.cluster import Cluster
from tiphys.cli.errors import UserError
from tiphys.runtime.cri import api_pb2, api_pb2_grpc, images_pb2, images_pb2_grpc

PIECE_BYTES = 1 << 20
LIST_SECONDS = 30.0
#: A big archive on a slow disk takes its time; a dead runtime hangs up by itself.
LOAD_SECONDS = 1800.0


class Images:
    """What the runtime can do with images. Raises UserError."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._cri = api_pb2_grpc.ImageServiceStub(channel)  # type: ignore[no-untyped-call]  # generated
        self._own = images_pb2_grpc.ImagesStub(channel)  # type: ignore[no-untyped-call]  # generated

    def every(self) -> list[api_pb2.Image]:
        return [*self._cri.ListImages(api_pb2.ListImagesRequest(), timeout=LIST_SECONDS).images]

    def find(self, name: str) -> api_pb2.Image | None:
        """By reference, or by the beginning of an id."""
        asked = api_pb2.ImageStatusRequest(image=api_pb2.ImageSpec(image=name))
        found = self._cri.ImageStatus(asked, timeout=LIST_SECONDS)
        if found.HasField("image") and found.image.id:
            image: api_pb2.Image = found.image
            return image
        begun = [image for image in self.every() if is_id(image, name)]
        if len(begun) > 1:
            raise UserError(f'"{name}" is the beginning of several images\' ids; give more of it')
        return begun[0] if begun else None

    def remove(self, name: str) -> None:
        asked = api_pb2.RemoveImageRequest(image=api_pb2.ImageSpec(image=name))
        self._cri.RemoveImage(asked, timeout=LIST_SECONDS)

    def load_file(self, path: str, name: str) -> list[images_pb2.LoadedImage]:
        """An archive that the runtime reads itself."""
        return self._load(iter([images_pb2.LoadRequest(path=path, name=name)]))

    def load_stream(self, source: BinaryIO, name: str) -> list[images_pb2.LoadedImage]:
        """An archive's bytes."""

        def pieces() -> Iterator[images_pb2.LoadRequest]:
            yield images_pb2.LoadRequest(name=name)
            while data := source.read(PIECE_BYTES):
                yield images_pb2.LoadRequest(data=data)

        return self._load(pieces())

    def _load(self, requests: Iterator[images_pb2.LoadRequest]) -> list[images_pb2.LoadedImage]:
        return [*self._own.Load(requests, timeout=LOAD_SECONDS).images]


@contextmanager
def connected(cluster: Cluster) -> Iterator[Images]:
    """The image store of a running cluster; what it refuses is a UserError in its words."""
    cluster.load()
    socket = cluster.runtime_socket
    stopped = f'cluster "{cluster.name}" does not run; "tiphys up --name {cluster.name}" starts it'
    if not socket.exists():
        raise UserError(stopped)
    with grpc.insecure_channel(f"unix:{socket}") as channel:
        try:
            yield Images(channel)
        except grpc.RpcError as error:
            # A call that failed is a Call too, which grpc's types do not say.
            failed: Any = error
            if failed.code() == grpc.StatusCode.UNAVAILABLE:
                raise UserError(f"{stopped} ({socket} does not answer)") from error
            raise UserError(failed.details() or failed.code().name.lower()) from error


def size_text(size: int) -> str:
    """Bytes with three digits and a decimal unit, as ``crictl`` prints them."""
    amount = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.3g}{unit}"
        amount /= 1000
    return f"{amount:.3g}TB"


def rows(image: api_pb2.Image) -> Iterator[tuple[str, str]]:
    """Repository and tag of each name that an image has."""
    for reference in image.repo_tags:
        repository, _, tag = reference.rpartition(":")
        yield repository, tag
    if not image.repo_tags:
        repository = image.repo_digests[0].partition("@")[0] if image.repo_digests else "<none>"
        yield repository, "<none>"


def short_id(image_id: str) -> str:
    return image_id.removeprefix("sha256:")[:13]


def is_id(image: api_pb2.Image, name: str) -> bool:
    """Whether ``name`` is (the beginning of) the image's id rather than one of its references."""
    return name not in image.repo_tags and image.id.removeprefix("sha256:").startswith(name.removeprefix("sha256:"))
