"""Pulls from a real registry on the loopback: Debian's docker-registry, and one of our own that misbehaves."""

import asyncio
import gzip
import hashlib
import json
import os
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from aiohttp import web

from tests.runtime.conftest import Node, entry, eventually, layer, skopeo
from tiphys.runtime.cri import api_pb2
from tiphys.runtime.images import reference
from tiphys.runtime.images.registry import Credentials, Puller, PullError, base_url
from tiphys.runtime.images.store import ImageStore

pytestmark = pytest.mark.root
needs_registry = pytest.mark.skipif(
    shutil.which("docker-registry") is None or shutil.which("skopeo") is None, reason="needs docker-registry and skopeo"
)
USER, PASSWORD = "someone", "secret"
#: The password as htpasswd -B writes it.
HASHED = "$2y$04$KwS/sr5.gRDVlPAx9nQmOuc968Wxx1jI87xSVMMlZsIO.k0nGOyoC"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(params=["open", "htpasswd"])
async def registry(request: pytest.FixtureRequest, tmp_path: Path, busybox: Path) -> AsyncIterator[tuple[str, bool]]:
    """Its address, and whether it wants a password; it has ``test/app:1``."""
    port, closed = free_port(), request.param == "htpasswd"
    config: dict[str, Any] = {
        "version": "0.1",
        "storage": {"filesystem": {"rootdirectory": str(tmp_path / "registry")}},
        "http": {"addr": f"127.0.0.1:{port}", "secret": "x"},
        "log": {"level": "error"},
    }
    if closed:
        (tmp_path / "htpasswd").write_text(f"{USER}:{HASHED}\n")
        config["auth"] = {"htpasswd": {"realm": "test", "path": str(tmp_path / "htpasswd")}}
    (tmp_path / "config.yml").write_text(json.dumps(config))
    process = await asyncio.create_subprocess_exec(
        "docker-registry", "serve", str(tmp_path / "config.yml"),
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        await eventually(lambda: answers(port))
        login = ["--dest-creds", f"{USER}:{PASSWORD}"] if closed else []
        await skopeo(
            "copy", "-q", "--dest-tls-verify=false", *login, f"docker-archive:{busybox}",
            f"docker://127.0.0.1:{port}/test/app:1",
        )  # fmt: skip
        yield f"127.0.0.1:{port}", closed
    finally:
        process.kill()
        await process.wait()


async def pull(node: Node, image: str, **auth: str) -> str:
    request = api_pb2.PullImageRequest(image=api_pb2.ImageSpec(image=image), auth=api_pb2.AuthConfig(**auth))
    return str((await node.images.PullImage(request)).image_ref)


@needs_registry
async def test_pull_and_run(node: Node, registry: tuple[str, bool]) -> None:
    address, closed = registry
    login = {"username": USER, "password": PASSWORD} if closed else {}
    image = f"{address}/test/app:1"
    image_id = await pull(node, image, **login)
    found = (await node.images.ImageStatus(api_pb2.ImageStatusRequest(image=api_pb2.ImageSpec(image=image)))).image
    assert found.id == image_id
    assert image in found.repo_tags
    [digest] = found.repo_digests
    assert digest.startswith(f"{address}/test/app@sha256:")
    assert await node.run("echo hi", image=image) == (0, "hi\n")
    assert await pull(node, digest, **login) == image_id
    container = await node.create(await node.sandbox(), "true", image=image)
    assert (await node.status(container)).image_ref == digest


@needs_registry
async def test_what_the_registry_does_not_have(node: Node, registry: tuple[str, bool]) -> None:
    address, closed = registry
    login = {"username": USER, "password": PASSWORD} if closed else {}
    for image in (f"{address}/test/app:nosuch", f"{address}/no/such:1"):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await pull(node, image, **login)
        assert raised.value.code() == grpc.StatusCode.NOT_FOUND
        expected = (
            f'failed to pull and unpack image "{image}": failed to resolve reference "{image}": {image}: not found'
        )
        assert raised.value.details() == expected


@needs_registry
@pytest.mark.parametrize("registry", ["htpasswd"], indirect=True)
@pytest.mark.parametrize("login", [{}, {"username": USER, "password": "wrong"}])
async def test_a_wrong_password(node: Node, registry: tuple[str, bool], login: dict[str, str]) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await pull(node, f"{registry[0]}/test/app:1", **login)
    assert "authorization failed" in str(raised.value.details())


async def test_nobody_listens(node: Node) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await pull(node, f"127.0.0.1:{free_port()}/test/app:1")
    assert raised.value.code() == grpc.StatusCode.UNKNOWN
    assert "failed to do request" in str(raised.value.details())


async def test_an_invalid_name(node: Node) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await pull(node, "Not/Valid")
    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "invalid reference format" in str(raised.value.details())


@pytest.mark.parametrize(
    ("registry", "url"),
    [
        ("docker.io", "https://registry-1.docker.io"),
        ("quay.io", "https://quay.io"),
        ("localhost:5000", "http://localhost:5000"),
        ("127.0.0.1", "http://127.0.0.1"),
        ("[::1]:5000", "http://[::1]:5000"),
        ("10.0.0.1:5000", "https://10.0.0.1:5000"),
    ],
)
def test_addresses(registry: str, url: str) -> None:
    assert base_url(registry) == url


class Misbehaving:
    """A registry in a few lines, for what a real one does not do on demand."""

    def __init__(self) -> None:
        self.layer = gzip.compress(layer([entry("file", os.urandom(300_000))]), mtime=0)
        diff_id = f"sha256:{hashlib.sha256(gzip.decompress(self.layer)).hexdigest()}"
        self.config = json.dumps({"rootfs": {"diff_ids": [diff_id]}}).encode()
        self.blobs = {self.digest(data): data for data in (self.layer, self.config)}
        self.manifest = json.dumps({
            "config": {"digest": self.digest(self.config), "size": len(self.config)},
            "layers": [{"digest": self.digest(self.layer), "size": len(self.layer)}],
        }).encode()  # fmt: skip
        self.index: bytes | None = None
        self.ranges: list[str] = []
        self.cuts = 0
        self.tokens: list[str] = []
        self.token = ""

    @staticmethod
    def digest(data: bytes) -> str:
        return f"sha256:{hashlib.sha256(data).hexdigest()}"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/token":
            self.tokens.append(
                f"{request.query['service']} {request.query['scope']} {request.headers['Authorization']}"
            )
            return web.json_response({"token": self.token})
        if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
            realm = f'Bearer realm="http://127.0.0.1:{request.url.port}/token",service="reg",scope="repository:a:pull"'
            return web.Response(status=401, headers={"WWW-Authenticate": realm})
        kind, what = request.path.split("/")[-2:]
        if kind == "manifests":
            if self.index is not None and not what.startswith("sha256:"):
                return web.Response(body=self.index, content_type="application/vnd.oci.image.index.v1+json")
            return web.Response(body=self.manifest, content_type="application/vnd.oci.image.manifest.v1+json")
        return await self.blob(request, self.blobs[what])

    async def blob(self, request: web.Request, data: bytes) -> web.StreamResponse:
        start = 0
        if wanted := request.headers.get("Range"):
            self.ranges.append(wanted)
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if self.cuts and len(data) > 100_000:
            self.cuts -= 1
            response = web.StreamResponse(headers={"Content-Length": str(len(data) - start)})
            await response.prepare(request)
            await response.write(data[start : start + 100_000])
            assert request.transport is not None
            request.transport.close()
            return response
        return web.Response(status=206 if start else 200, body=data[start:])


@pytest.fixture
async def bad() -> AsyncIterator[tuple[Misbehaving, str]]:
    made = Misbehaving()
    runner = web.ServerRunner(web.Server(made.handle))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield made, f"127.0.0.1:{runner.addresses[0][1]}/a/b:1"
    await runner.cleanup()


async def pulled(tmp_path: Path, image: str, credentials: Credentials = Credentials()) -> str:  # noqa: B008
    puller = Puller(ImageStore(tmp_path / "store"))
    try:
        return (await puller.pull(reference.parse(image), credentials)).id
    finally:
        await puller.close()


def error_of(group: BaseExceptionGroup[Exception] | PullError) -> PullError:
    found = group.exceptions[0] if isinstance(group, BaseExceptionGroup) else group
    assert isinstance(found, PullError)
    return found


async def test_a_broken_download_goes_on_where_it_stopped(bad: tuple[Misbehaving, str], tmp_path: Path) -> None:
    server, image = bad
    server.cuts = 1
    assert await pulled(tmp_path, image) == server.digest(server.config)
    assert len(server.ranges) == 1
    assert int(server.ranges[0].removeprefix("bytes=").removesuffix("-")) > 0


async def test_a_token_is_asked_for(bad: tuple[Misbehaving, str], tmp_path: Path) -> None:
    server, image = bad
    server.token = "t0k3n"
    assert await pulled(tmp_path, image, Credentials("u", "p"))
    assert server.tokens == ["reg repository:a:pull Basic dTpw"]


async def test_an_index_leads_to_this_machines_manifest(bad: tuple[Misbehaving, str], tmp_path: Path) -> None:
    server, image = bad
    machine = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
    other = {"digest": server.digest(b"other"), "platform": {"os": "linux", "architecture": "s390x"}}
    ours = {"digest": server.digest(server.manifest), "platform": {"os": "linux", "architecture": machine}}
    server.index = json.dumps({"manifests": [other, ours]}).encode()
    assert await pulled(tmp_path, image) == server.digest(server.config)
    server.index = json.dumps({"manifests": [other]}).encode()
    with pytest.raises(PullError, match=f"no match for platform in manifest: linux/{machine} not found"):
        await pulled(tmp_path, image)


@pytest.mark.parametrize("what", ["layer", "config"])
async def test_a_blob_with_another_digest(bad: tuple[Misbehaving, str], tmp_path: Path, what: str) -> None:
    server, image = bad
    digest = server.digest(getattr(server, what))
    server.blobs[digest] = b"something else"
    with pytest.raises((PullError, ExceptionGroup)) as raised:
        await pulled(tmp_path, image)
    assert f"blob {digest}: digest is " in str(error_of(raised.value))
    assert os.listdir(tmp_path / "store/layers") == []


async def test_a_manifest_with_another_digest(bad: tuple[Misbehaving, str], tmp_path: Path) -> None:
    _, image = bad
    wanted = "sha256:" + "0" * 64
    with pytest.raises(PullError, match=f"want {wanted}"):
        await pulled(tmp_path, f"{image}@{wanted}")


async def test_a_manifest_that_is_none(bad: tuple[Misbehaving, str], tmp_path: Path) -> None:
    server, image = bad
    server.manifest = b"<html>"
    with pytest.raises(PullError, match="the registry's answer is no manifest"):
        await pulled(tmp_path, image)
