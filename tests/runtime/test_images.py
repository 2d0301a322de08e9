"""Images: references, layers unpacked with care, archives of both kinds."""

import asyncio
import hashlib
import io
import json
import os
import shutil
import stat
import tarfile
from pathlib import Path

import grpc
import pytest

from tests.runtime.conftest import IMAGE, Node, docker_archive, entry, layer, skopeo
from tiphys.runtime.cri import api_pb2, images_pb2
from tiphys.runtime.images import archive, reference
from tiphys.runtime.images.store import ImageStore
from tiphys.runtime.images.unpack import BadLayer, resolve, unpack

HEX = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("busybox", "docker.io/library/busybox:latest"),
        ("busybox:1", "docker.io/library/busybox:1"),
        ("user/app", "docker.io/user/app:latest"),
        ("docker.io/app", "docker.io/library/app:latest"),
        ("localhost/app", "localhost/app:latest"),
        ("localhost:5000/app:v1", "localhost:5000/app:v1"),
        ("registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10"),
        ("[::1]:5000/a/b", "[::1]:5000/a/b:latest"),
        (f"app@sha256:{HEX}", f"docker.io/library/app@sha256:{HEX}"),
        (f"quay.io/app:v1@sha256:{HEX}", f"quay.io/app:v1@sha256:{HEX}"),
        ("a__b/c--d.e", "docker.io/a__b/c--d.e:latest"),
    ],
)
def test_references(text: str, full: str) -> None:
    assert str(reference.parse(text)) == full
    assert reference.parse(full) == reference.parse(text)


@pytest.mark.parametrize(
    "text",
    ["", "App", "a//b", "a:", "a:b:c", "-a", "a/../b", "a b", "a@sha256:12", f"a@md5:{HEX}", "a:" + "x" * 129, "/a",
     "a/", "a.", "http://a/b", "a\n", "ä"],
)  # fmt: skip
def test_what_is_no_reference(text: str) -> None:
    with pytest.raises(reference.InvalidReference):
        reference.parse(text)


# Layers


def unpacked(folder: Path, data: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    unpack(io.BytesIO(data), str(folder))
    return folder


@pytest.mark.root
def test_files_keep_what_they_are(tmp_path: Path) -> None:
    data = layer([
        entry("d", kind=tarfile.DIRTYPE, mode=0o1777),
        entry("d/file", b"text", mode=0o4755, uid=7, gid=8),
        entry("d/hard", kind=tarfile.LNKTYPE, linkname="d/file"),
        entry("d/soft", kind=tarfile.SYMTYPE, linkname="/absolute"),
        entry("d/pipe", kind=tarfile.FIFOTYPE),
        entry("d/null", kind=tarfile.CHRTYPE, devmajor=1, devminor=3),
        entry("./deep/without/folders", b"x"),
        entry("with-attribute", b"x", pax_headers={"SCHILY.xattr.user.color": "blue"}),
    ])  # fmt: skip
    root = unpacked(tmp_path / "root", data)
    file = (root / "d/file").stat()
    assert (stat.S_IMODE(file.st_mode), file.st_uid, file.st_gid, file.st_nlink) == (0o4755, 7, 8, 2)
    assert int(file.st_mtime) == int((root / "d").stat().st_mtime) == 1_700_000_000
    assert stat.S_IMODE((root / "d").stat().st_mode) == 0o1777
    assert os.readlink(root / "d/soft") == "/absolute"
    assert (root / "d/pipe").is_fifo()
    assert (root / "d/null").stat().st_rdev == os.makedev(1, 3)
    assert (root / "deep/without/folders").read_text() == "x"
    assert os.getxattr(root / "with-attribute", "user.color") == b"blue"


@pytest.mark.root
def test_whiteouts_become_what_overlayfs_knows(tmp_path: Path) -> None:
    data = layer([
        entry("d", kind=tarfile.DIRTYPE),
        entry("d/.wh.gone"),
        entry("e", kind=tarfile.DIRTYPE),
        entry("e/.wh..wh..opq"),
        entry("e/new", b"x"),
    ])  # fmt: skip
    root = unpacked(tmp_path / "root", data)
    gone = (root / "d/gone").lstat()
    assert stat.S_ISCHR(gone.st_mode)
    assert gone.st_rdev == 0
    assert os.getxattr(root / "e", "trusted.overlay.opaque") == b"y"
    assert os.listdir(root / "e") == ["new"]


@pytest.mark.root
def test_later_entries_replace_earlier_ones(tmp_path: Path) -> None:
    data = layer([
        entry("a", kind=tarfile.DIRTYPE), entry("a/b", b"x"), entry("a", b"now a file"),
        entry("f", b"x"), entry("f", kind=tarfile.DIRTYPE), entry("f/g", b"y"),
        entry("l", kind=tarfile.SYMTYPE, linkname="f"), entry("l", b"no link"),
    ])  # fmt: skip
    root = unpacked(tmp_path / "root", data)
    assert (root / "a").read_bytes() == b"now a file"
    assert (root / "f/g").read_bytes() == b"y"
    assert (root / "l").read_bytes() == b"no link"
    assert not (root / "l").is_symlink()


ESCAPES = {
    "dots": [entry("../evil", b"x")],
    "dots within": [entry("a/../../evil", b"x")],
    "hard link": [entry("link", kind=tarfile.LNKTYPE, linkname="../secret")],
    "unknown": [entry("odd", kind=b"Z")],
}
CONFINED = {
    "absolute": [entry("/evil", b"x")],
    "link, then file": [entry("l", kind=tarfile.SYMTYPE, linkname="../.."), entry("l/evil", b"x")],
    "absolute link": [entry("l", kind=tarfile.SYMTYPE, linkname="/"), entry("l/evil", b"x")],
    "chain": [
        entry("a", kind=tarfile.SYMTYPE, linkname="b/.."), entry("b", kind=tarfile.SYMTYPE, linkname="../../.."),
        entry("a/evil", b"x"),
    ],
    "whiteout": [entry("l", kind=tarfile.SYMTYPE, linkname="../"), entry("l/.wh.evil")],
}  # fmt: skip


@pytest.mark.root
@pytest.mark.parametrize("name", ESCAPES)
def test_layers_that_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_text("secret")
    with pytest.raises(BadLayer):
        unpacked(tmp_path / "root", layer(ESCAPES[name]))
    assert sorted(os.listdir(tmp_path)) == ["root", "secret"]
    assert (tmp_path / "secret").stat().st_nlink == 1


@pytest.mark.root
@pytest.mark.parametrize("name", CONFINED)
def test_layers_cannot_write_outside_themselves(tmp_path: Path, name: str) -> None:
    root = unpacked(tmp_path / "root", layer(CONFINED[name]))
    assert os.listdir(tmp_path) == ["root"]
    assert not os.path.lexists("/evil")
    assert (root / "evil").lstat()


@pytest.mark.root
def test_a_hard_link_cannot_reach_out_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    entries = [
        entry("out", kind=tarfile.SYMTYPE, linkname=str(tmp_path)),
        entry("stolen", kind=tarfile.LNKTYPE, linkname="out/secret"),
    ]
    with pytest.raises(OSError):
        unpacked(tmp_path / "root", layer(entries))
    assert (tmp_path / "secret").stat().st_nlink == 1


def test_link_loops_end(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(BadLayer, match="too many links"):
        resolve(str(tmp_path), "a/file")


@pytest.mark.root
@pytest.mark.parametrize("data", [b"no archive" * 100, layer([entry("a", b"x" * 5000)])[:2000]], ids=["noise", "cut"])
def test_what_is_no_layer(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(BadLayer):
        unpacked(tmp_path / "root", data)


# The store


@pytest.mark.root
def test_a_layer_must_have_its_digest(tmp_path: Path) -> None:
    store = ImageStore(tmp_path)
    data = layer([entry("a", b"x")])
    with pytest.raises(BadLayer, match="digest is sha256:"):
        store.add_layer(f"sha256:{HEX}", io.BytesIO(data))
    assert os.listdir(tmp_path / "layers") == []
    store.add_layer(f"sha256:{hashlib.sha256(data).hexdigest()}", io.BytesIO(data))
    assert len(os.listdir(tmp_path / "layers")) == 1


@pytest.mark.root
def test_images_share_layers_and_take_tags_from_each_other(tmp_path: Path) -> None:
    base, top = layer([entry("base", b"x")]), layer([entry("top", b"y")])
    store = ImageStore(tmp_path / "store")
    [first] = archive.load(store, docker_archive(tmp_path / "1.tar", "app:1", [base]))
    [second] = archive.load(store, docker_archive(tmp_path / "2.tar", "app:1", [base, top]))
    assert (first.tags, second.tags) == ([], ["docker.io/library/app:1"])
    assert len(os.listdir(tmp_path / "store/layers")) == 2
    store.remove(second)
    assert len(os.listdir(tmp_path / "store/layers")) == 1
    store.remove(first)
    assert os.listdir(tmp_path / "store/layers") == []
    assert ImageStore(tmp_path / "store").list() == ()


@pytest.mark.root
def test_the_store_is_the_same_after_a_restart_and_swept(tmp_path: Path) -> None:
    [made] = archive.load(
        ImageStore(tmp_path), docker_archive(tmp_path / "1.tar", "app:1", [layer([entry("a", b"x")])])
    )
    (tmp_path / "layers/partial-left").mkdir()
    again = ImageStore(tmp_path)
    assert again.find("app:1", reference.parse("app:1")) == made
    assert again.find(made.id.removeprefix("sha256:"), None) == made
    assert not (tmp_path / "layers/partial-left").exists()


# Archives


def pieces_of(path: Path) -> list[images_pb2.LoadRequest]:
    data = path.read_bytes()
    return [images_pb2.LoadRequest(data=data[at : at + 100_000]) for at in range(0, len(data), 100_000)]


@pytest.mark.root
async def test_a_docker_archive_by_path_and_by_stream(node: Node, busybox: Path) -> None:
    listed = await node.images.ListImages(api_pb2.ListImagesRequest())
    [image] = [i for i in listed.images if i.repo_tags == [f"docker.io/{IMAGE}"]]
    assert image.size > 100_000
    loaded = await node.own.Load(iter(pieces_of(busybox)))
    assert [(i.id, list(i.references)) for i in loaded.images] == [(image.id, [f"docker.io/{IMAGE}"])]


@pytest.mark.root
async def test_archives_that_are_none(node: Node, tmp_path: Path) -> None:
    (tmp_path / "noise").write_bytes(b"noise" * 1000)
    with tarfile.open(tmp_path / "empty.tar", "w"):
        pass
    with tarfile.open(tmp_path / "lacking.tar", "w") as made:
        data = json.dumps([{"Config": "c.json", "RepoTags": ["a:1"], "Layers": []}]).encode()
        info = tarfile.TarInfo("manifest.json")
        info.size = len(data)
        made.addfile(info, io.BytesIO(data))
    for name, code, text in (
        ("noise", grpc.StatusCode.INVALID_ARGUMENT, "not an image archive"),
        ("empty.tar", grpc.StatusCode.INVALID_ARGUMENT, "neither a docker archive"),
        ("lacking.tar", grpc.StatusCode.INVALID_ARGUMENT, "lacks c.json"),
        ("absent.tar", grpc.StatusCode.FAILED_PRECONDITION, "absent.tar: No such file or directory"),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await node.load(tmp_path / name)
        assert (raised.value.code(), text in str(raised.value.details())) == (code, True), raised.value.details()


@pytest.mark.root
@pytest.mark.skipif(shutil.which("skopeo") is None, reason="needs skopeo")
async def test_an_oci_layout(node: Node, busybox: Path, tmp_path: Path) -> None:
    path = tmp_path / "layout.tar"
    await skopeo("copy", "-q", f"docker-archive:{busybox}", f"oci-archive:{path}:other/name:2")
    [loaded] = await node.load(path)
    assert list(loaded.references) == ["docker.io/other/name:2"]
    assert await node.run("echo hi", image="other/name:2") == (0, "hi\n")


@pytest.mark.root
async def test_whiteouts_in_a_running_container(node: Node, tmp_path: Path, busybox: Path) -> None:
    with tarfile.open(busybox) as made:
        name = next(n for n in made.getnames() if n.endswith("/layer.tar"))
        base = made.extractfile(name)
        assert base is not None
        bottom = base.read()
    middle = layer([entry("d", kind=tarfile.DIRTYPE), entry("d/old", b"x"), entry("gone", b"x"), entry("kept", b"1")])
    top = layer([
        entry("d", kind=tarfile.DIRTYPE), entry("d/.wh..wh..opq"), entry("d/new", b"y"), entry(".wh.gone"),
        entry("kept", b"2"),
    ])  # fmt: skip
    await node.load(docker_archive(tmp_path / "l.tar", "layered:1", [bottom, middle, top], Cmd=["/bin/sh"]))
    assert await node.run("ls d; ls gone 2>&1; cat kept; true", image="layered:1") == (
        0,
        "new\nls: gone: No such file or directory\n2\n",
    )


@pytest.mark.root
async def test_what_the_image_says_is_done(node: Node, tmp_path: Path, busybox: Path) -> None:
    with tarfile.open(busybox) as made:
        name = next(n for n in made.getnames() if n.endswith("/layer.tar"))
        base = made.extractfile(name)
        assert base is not None
        bottom = base.read()
    path = docker_archive(
        tmp_path / "i.tar", "configured:1", [bottom], Entrypoint=["/bin/sh", "-c"], Cmd=["id -un; pwd; echo $HOME"],
        User="web", WorkingDir="/var/work", StopSignal="SIGINT",
    )  # fmt: skip
    await node.load(path)
    sandbox = await node.sandbox()
    container = await node.create(sandbox, image="configured:1")
    await node.start(container)
    await node.ended(container)
    assert node.output() == "web\n/var/work\n/home/web\n"
    status = await node.images.ImageStatus(api_pb2.ImageStatusRequest(image=api_pb2.ImageSpec(image="configured:1")))
    assert status.image.username == "web"


@pytest.mark.root
async def test_an_image_in_use_is_not_removed(node: Node) -> None:
    container = await node.create(await node.sandbox(), "true")
    request = api_pb2.RemoveImageRequest(image=api_pb2.ImageSpec(image=IMAGE))
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await node.images.RemoveImage(request)
    assert f"is used by container {container}" in str(raised.value.details())
    await node.remove(container)
    await node.images.RemoveImage(request)
    await node.images.RemoveImage(request)
    status = await node.images.ImageStatus(api_pb2.ImageStatusRequest(image=api_pb2.ImageSpec(image=IMAGE)))
    assert not status.HasField("image")


@pytest.mark.root
async def test_the_hosts_own_usr(node: Node) -> None:
    script = "ls /; cat /etc/os-release; touch /usr/x && echo private; ls /root /home"
    code, text = await node.run(script, image="tiphys.dev/host")
    assert code == 0
    assert "private" in text
    assert "ID=tiphys-host" in text
    assert "x" not in os.listdir("/usr")
    assert "shadow" not in (await node.run("ls /etc", image="tiphys.dev/host"))[1]


@pytest.mark.root
async def test_an_image_is_a_volume(node: Node, tmp_path: Path) -> None:
    layers = [
        layer([entry("data", kind=tarfile.DIRTYPE), entry("data/a", b"one"), entry("data/b", b"old")]),
        layer([entry("data", kind=tarfile.DIRTYPE), entry("data/b", b"new")]),
    ]
    await node.load(docker_archive(tmp_path / "d.tar", "data:1", layers))
    image = api_pb2.ImageSpec(image="data:1")
    mounts = [
        api_pb2.Mount(container_path="/all", image=image, readonly=True),
        api_pb2.Mount(container_path="/part", image=image, image_sub_path="data", readonly=True),
    ]
    sandbox = await node.sandbox()
    script = "echo $(cat /all/data/a /all/data/b /part/b); touch /all/x /part/x; sleep 1000"
    container = await node.started(sandbox, script, mounts=mounts)
    async with asyncio.timeout(10):
        while node.output().count("Read-only file system") < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert "onenewnew\n" in node.output()
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await node.images.RemoveImage(api_pb2.RemoveImageRequest(image=image))
    assert f"is used by container {container}" in str(raised.value.details())
    outside = api_pb2.Mount(container_path="/part", image=image, image_sub_path="../..", readonly=True)
    refused = await node.create(sandbox, "true", name="second", mounts=[outside])
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await node.start(refused)
    assert "mount image: the sub path leads out of the image" in str(raised.value.details())
