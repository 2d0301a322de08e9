"""Pull from a registry: manifests, then blobs, each verified against its digest.

Source: OCI Distribution Specification; the token flow of the distribution project's
"Token Authentication Specification".
"""

import asyncio
import base64
import gzip
import ipaddress
import os
import re
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import IO, TypeVar

import aiohttp
import msgspec

from tiphys.runtime.images.reference import Reference
from tiphys.runtime.images.store import Configuration, Image, ImageStore, VerifiedStream, digest_of
from tiphys.runtime.images.unpack import BadLayer, Readable

_T = TypeVar("_T")
MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
INDEX_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFEST_BYTES_MAX = 4 * 1024 * 1024
ATTEMPTS = 4
FIRST_PAUSE_SECONDS = 0.5
PARALLEL_BLOBS = 3
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class Platform(msgspec.Struct):
    architecture: str = ""
    os: str = ""


class Descriptor(msgspec.Struct):
    """What a manifest says of a blob."""

    digest: str
    size: int = 0
    mediaType: str = ""
    platform: Platform | None = None
    annotations: dict[str, str] | None = None


class Index(msgspec.Struct):
    manifests: list[Descriptor]


class Manifest(msgspec.Struct):
    config: Descriptor
    layers: list[Descriptor]


class PullError(Exception):
    """The image cannot be had; the text says why. ``not_found``: the registry has no such image."""

    def __init__(self, text: str, *, not_found: bool = False, passing: bool = False) -> None:
        super().__init__(text)
        self.not_found = not_found
        #: Trying again may help.
        self.passing = passing


def machine() -> str:
    """This machine's architecture as images name it."""
    name = os.uname().machine
    return ARCHITECTURES.get(name, name)


def choose_platform(index: Index) -> Descriptor:
    """The manifest for this machine. Raises PullError if there is none."""
    for entry in index.manifests:
        if entry.platform is None or (entry.platform.os == "linux" and entry.platform.architecture == machine()):
            return entry
    raise PullError(f"no match for platform in manifest: linux/{machine()} not found", not_found=True)


@dataclass(frozen=True, slots=True)
class Credentials:
    """From an image pull secret; all empty for anonymous."""

    username: str = ""
    password: str = ""
    token: str = ""


def base_url(registry: str) -> str:
    """HTTPS, but plain HTTP for a registry on this very host, as other runtimes do it."""
    host = "registry-1.docker.io" if registry == "docker.io" else registry
    name = re.sub(r":\d+$", "", host).strip("[]")
    try:
        local = ipaddress.ip_address(name).is_loopback
    except ValueError:
        local = name == "localhost"
    return f"{'http' if local else 'https'}://{host}"


class Puller:
    """Pulls images into a store, one HTTP session for all."""

    def __init__(self, store: ImageStore) -> None:
        self._store = store
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def pull(self, wanted: Reference, credentials: Credentials) -> Image:
        """Raises PullError, OSError."""
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=60)
            self._session = aiohttp.ClientSession(timeout=timeout)
        return await _Pull(self._store, self._session, wanted, credentials).run()


class _Pull:
    """One pull of one image."""

    def __init__(
        self, store: ImageStore, session: aiohttp.ClientSession, wanted: Reference, credentials: Credentials
    ) -> None:
        self._store = store
        self._session = session
        self._wanted = wanted
        self._credentials = credentials
        self._base = f"{base_url(wanted.registry)}/v2/{wanted.repository}"
        self._authorization = ""
        self._blobs = asyncio.Semaphore(PARALLEL_BLOBS)

    async def run(self) -> Image:
        wanted = self._wanted
        digest, media_type, data = await self._manifest(wanted.digest or wanted.tag)
        if wanted.digest and digest != wanted.digest:
            raise PullError(f"manifest has digest {digest}, want {wanted.digest}")
        manifest = data
        while media_type in INDEX_TYPES:
            entry = choose_platform(_decoded(manifest, Index))
            _, media_type, manifest = await self._manifest(entry.digest)
        described = _decoded(manifest, Manifest)
        config = await self._small_blob(described.config)
        diff_ids = _decoded(config, Configuration).rootfs.diff_ids
        if len(diff_ids) != len(described.layers):
            raise PullError("the image's configuration and manifest disagree about its layers")
        async with asyncio.TaskGroup() as group:
            for diff_id, layer in zip(diff_ids, described.layers, strict=True):
                if not self._store.has_layer(diff_id):
                    group.create_task(self._layer(diff_id, layer))
        size = described.config.size + sum(layer.size for layer in described.layers)
        tags = [f"{wanted.name}:{wanted.tag}"] if wanted.tag else []
        return self._store.add_image(config, size, tags, [f"{wanted.name}@{digest}"])

    async def _manifest(self, what: str) -> tuple[str, str, bytes]:
        """Digest, media type and bytes."""
        accept = {"Accept": ", ".join((*INDEX_TYPES, *MANIFEST_TYPES))}
        async with self._get(f"{self._base}/manifests/{what}", accept) as response:
            data = await response.content.read(MANIFEST_BYTES_MAX + 1)
            while len(data) <= MANIFEST_BYTES_MAX and (more := await response.content.read(MANIFEST_BYTES_MAX)):
                data += more
            if len(data) > MANIFEST_BYTES_MAX:
                raise PullError("the manifest is too large")
            digest = digest_of(data)
            if what.startswith("sha256:") and digest != what:
                raise PullError(f"manifest has digest {digest}, want {what}")
            return digest, response.content_type, data

    async def _small_blob(self, blob: Descriptor) -> bytes:
        with tempfile.SpooledTemporaryFile(max_size=MANIFEST_BYTES_MAX) as file:
            await self._fetch(blob, file)
            return file.read()

    async def _layer(self, diff_id: str, layer: Descriptor) -> None:
        if "zstd" in layer.mediaType:
            raise PullError("layers compressed with zstd are not supported; recompress the image with gzip")
        async with self._blobs:
            with tempfile.TemporaryFile(dir=self._store.layers_folder) as file:
                await self._fetch(layer, file)
                await asyncio.to_thread(self._unpack, diff_id, file)

    def _unpack(self, diff_id: str, file: IO[bytes]) -> None:
        compressed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        stream: Readable = gzip.GzipFile(fileobj=file) if compressed else file
        try:
            self._store.add_layer(diff_id, stream)
        except BadLayer as error:
            raise PullError(f"layer {diff_id}: {error}") from error

    async def _fetch(self, blob: Descriptor, file: IO[bytes]) -> None:
        """Download and verify; continues where a broken connection stopped. ``file`` is then at its beginning."""
        for attempt in range(ATTEMPTS):
            have = file.tell()
            headers = {"Range": f"bytes={have}-"} if have else {}
            try:
                async with self._get(f"{self._base}/blobs/{blob.digest}", headers) as response:
                    if have and response.status != 206:
                        file.seek(0)
                        file.truncate()
                    async for chunk in response.content.iter_chunked(1 << 20):
                        file.write(chunk)
                break
            except (aiohttp.ClientError, TimeoutError) as error:
                if attempt + 1 == ATTEMPTS:
                    raise PullError(f"blob {blob.digest}: {error}", passing=True) from error
                await asyncio.sleep(FIRST_PAUSE_SECONDS * 2**attempt)
        file.seek(0)
        try:
            await asyncio.to_thread(VerifiedStream(file, blob.digest).finish)
        except BadLayer as error:
            raise PullError(f"blob {blob.digest}: {error}") from error
        file.seek(0)

    @asynccontextmanager
    async def _get(self, url: str, headers: dict[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
        """A successful answer, after logging in where the registry asks for it."""
        for _ in range(2):
            sent = headers | ({"Authorization": self._authorization} if self._authorization else {})
            try:
                response = await self._session.get(url, headers=sent)
            except aiohttp.ClientError as error:
                raise PullError(f"failed to do request: {error}", passing=True) from error
            async with response:
                if response.status == 401 and not self._authorization:
                    self._authorization = await self._log_in(response.headers.get("WWW-Authenticate", ""))
                    continue
                self._check(response)
                yield response
                return
        raise PullError("authorization failed: the registry refuses the credentials")

    def _check(self, response: aiohttp.ClientResponse) -> None:
        if response.status in (200, 206):
            return
        if response.status == 404:
            raise PullError("not found", not_found=True)
        if response.status in (401, 403):
            raise PullError(
                "pull access denied, repository does not exist or may require authorization: "
                f"authorization failed: {response.status} {response.reason}"
            )
        raise PullError(f"unexpected status {response.status} {response.reason}", passing=response.status >= 429)

    async def _log_in(self, challenge: str) -> str:
        """The Authorization header that answers a challenge."""
        scheme, _, rest = challenge.partition(" ")
        credentials = self._credentials
        basic = ""
        if credentials.username:
            pair = f"{credentials.username}:{credentials.password}".encode()
            basic = f"Basic {base64.b64encode(pair).decode()}"
        if scheme.lower() == "basic":
            if not basic:
                raise PullError("authorization failed: no basic auth credentials")
            return basic
        if scheme.lower() != "bearer":
            raise PullError(f"authorization failed: the registry asks for {scheme or 'nothing'}, which is not known")
        if credentials.token:
            return f"Bearer {credentials.token}"
        fields = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        realm = fields.pop("realm", "")
        if not realm.startswith(("https://", "http://127.", "http://localhost")):
            raise PullError("authorization failed: the registry's token server is not reached by HTTPS")
        headers = {"Authorization": basic} if basic else {}
        try:
            async with self._session.get(realm, params=fields, headers=headers) as response:
                if response.status != 200:
                    raise PullError(f"failed to authorize: token server answers {response.status} {response.reason}")
                answer = await response.json(content_type=None)
        except aiohttp.ClientError as error:
            raise PullError(f"failed to authorize: {error}", passing=True) from error
        return f"Bearer {answer.get('token') or answer.get('access_token') or ''}"


def _decoded(data: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError as error:
        raise PullError(f"the registry's answer is no {kind.__name__.lower()}: {error}") from error
