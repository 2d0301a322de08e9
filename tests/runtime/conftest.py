"""A whole runtime for each test: real spawner, real namespaces, images made from the machine's busybox."""

import asyncio
import contextlib
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

import tiphys.runtime.spawner
from tiphys.base.clock import RealClock
from tiphys.base.ids import Ids
from tiphys.runtime.config import RuntimeConfig
from tiphys.runtime.cri import api_pb2, api_pb2_grpc, images_pb2, images_pb2_grpc
from tiphys.runtime.interfaces import NoNetwork
from tiphys.runtime.loop import Runtime

IMAGE = "test/busybox:1"
PATH = "PATH=/bin:/usr/bin:/sbin:/usr/sbin"
#: What kubelets take.
OPTIONS = [("grpc.max_receive_message_length", 16 * 1024 * 1024)]
Entry = tuple[tarfile.TarInfo, bytes]


def entry(name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, mode: int = 0o755, **fields: Any) -> Entry:
    """One member of a layer."""
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.size, info.mtime = kind, mode, len(data), 1_700_000_000
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def layer(entries: Sequence[Entry]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, data in entries:
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def docker_archive(path: Path, name: str, layers: Sequence[bytes], **config: Any) -> Path:
    """A docker archive as ``docker save`` writes it; ``config`` in the image's own spelling."""
    digests = [hashlib.sha256(data).hexdigest() for data in layers]
    described = json.dumps({
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine],
        "os": "linux",
        "config": {"Env": [PATH], **config},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]},
        "history": [{"created": "2026-01-01T00:00:00Z"} for _ in layers],
    }).encode()  # fmt: skip
    config_name = hashlib.sha256(described).hexdigest() + ".json"
    manifest = [{"Config": config_name, "RepoTags": [name], "Layers": [f"{digest}/layer.tar" for digest in digests]}]
    with tarfile.open(path, "w") as archive:
        for member, data in (
            (config_name, described),
            *((f"{digest}/layer.tar", data) for digest, data in zip(digests, layers, strict=True)),
            ("manifest.json", json.dumps(manifest).encode()),
        ):
            info = tarfile.TarInfo(member)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def busybox_layer() -> bytes:
    """A root file system of one program under all its names."""
    program = Path("/bin/busybox").resolve().read_bytes()
    names = subprocess.run(["busybox", "--list"], check=True, capture_output=True, text=True).stdout.split()
    folders = [entry(name, kind=tarfile.DIRTYPE) for name in ("bin", "etc", "home", "root", "var")]
    folders.append(entry("tmp", kind=tarfile.DIRTYPE, mode=0o1777))
    links = [entry(f"bin/{n}", kind=tarfile.SYMTYPE, linkname="busybox") for n in names if n != "busybox"]
    passwd = b"root:x:0:0:root:/root:/bin/sh\nweb:x:33:44:web:/home/web:/bin/sh\n"
    group = b"root:x:0:\nweb:x:44:\nextra:x:55:web\n"
    return layer([
        *folders, entry("bin/busybox", program), *links,
        entry("etc/passwd", passwd, mode=0o644), entry("etc/group", group, mode=0o644),
    ])  # fmt: skip


@pytest.fixture(scope="session")
def busybox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of ``IMAGE``."""
    return docker_archive(tmp_path_factory.mktemp("image") / "busybox.tar", IMAGE, [busybox_layer()], Cmd=["/bin/sh"])


async def skopeo(*arguments: str) -> None:
    process = await asyncio.create_subprocess_exec("skopeo", "--insecure-policy", *arguments)
    assert await process.wait() == 0


async def eventually(check: Callable[[], Any], seconds: float = 10.0) -> None:
    """Until ``check`` holds: for what no event tells of."""
    async with asyncio.timeout(seconds):
        while not check():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@dataclass
class Spawned:
    """One spawner process."""

    process: asyncio.subprocess.Process
    socket: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))


@pytest.fixture
def folder() -> Iterator[Path]:
    """A place with a short path, for sockets; whatever is left in it or named after it fails the test."""
    directory = Path(tempfile.mkdtemp(prefix="tr-"))
    try:
        yield directory
        assert left_behind(directory) == []
    finally:
        clean(directory)


def left_behind(directory: Path) -> list[str]:
    """Mounts below a folder, and control groups of Pods below the one that is named after it."""
    mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(directory) in line]
    groups = [str(pod) for path in groups_of(directory) for pod in path.glob("kubepods/*/")]
    return mounts + groups


def groups_of(directory: Path) -> list[Path]:
    root = Path("/sys/fs/cgroup")
    return [*root.glob(f"tiphys-{directory.name}"), *root.glob(f"*/tiphys-{directory.name}")]


def clean(directory: Path) -> None:
    """After a test that failed as well."""
    for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
        if str(directory) in line:
            subprocess.run(["umount", "-l", line.split(" ")[4]], check=False)
    for group in groups_of(directory):
        # A process leaves its group a moment after its end.
        for _ in range(100):
            if remove_group(group):
                break
            time.sleep(0.01)
    shutil.rmtree(directory, ignore_errors=True)


def remove_group(group: Path) -> bool:
    """Ends all members; whether it is gone."""
    for base, _, _ in os.walk(group, topdown=False):
        with contextlib.suppress(OSError):
            for pid in Path(base, "cgroup.procs").read_text().split():
                os.kill(int(pid), 9)
        with contextlib.suppress(OSError):
            os.rmdir(base)
    return not group.exists()


@pytest.fixture
async def spawner(folder: Path) -> AsyncIterator[Spawned]:
    socket = folder / "spawner.sock"
    place = Path(tiphys.runtime.spawner.__file__).parent
    process = await asyncio.create_subprocess_exec(sys.executable, "-I", "-S", str(place), str(socket))
    try:
        await eventually(socket.exists)
        yield Spawned(process, socket)
    finally:
        # Some tests kill it themselves.
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@dataclass
class Node:
    """A running runtime as a kubelet sees it, with shorthands."""

    runtime: Runtime
    config: RuntimeConfig
    channel: grpc.aio.Channel
    spawner: Spawned
    cri: Any = field(init=False)
    images: Any = field(init=False)
    own: Any = field(init=False)

    def __post_init__(self) -> None:
        self.cri = api_pb2_grpc.RuntimeServiceStub(self.channel)
        self.images = api_pb2_grpc.ImageServiceStub(self.channel)
        self.own = images_pb2_grpc.ImagesStub(self.channel)

    @property
    def logs(self) -> Path:
        return self.config.data.parent / "logs"

    async def load(self, archive: Path, name: str = "") -> list[images_pb2.LoadedImage]:
        call = self.own.Load(iter([images_pb2.LoadRequest(path=str(archive), name=name)]))
        return list((await call).images)

    async def sandbox(self, name: str = "pod", **options: Any) -> str:
        """``options``: fields of NamespaceOption, or of PodSandboxConfig."""
        kinds = {key: options.pop(key) for key in ("network", "pid", "ipc") if key in options}
        linux = api_pb2.LinuxPodSandboxConfig(
            cgroup_parent=f"/kubepods/pod-{name}",
            security_context=api_pb2.LinuxSandboxSecurityContext(namespace_options=api_pb2.NamespaceOption(**kinds)),
            sysctls=options.pop("sysctls", {}),
        )
        config = api_pb2.PodSandboxConfig(
            metadata=api_pb2.PodSandboxMetadata(name=name, namespace="default", uid=str(uuid.uuid4())),
            hostname=options.pop("hostname", name),
            log_directory=str(self.logs),
            linux=linux,
            **options,
        )
        answer = await self.cri.RunPodSandbox(api_pb2.RunPodSandboxRequest(config=config))
        return str(answer.pod_sandbox_id)

    async def create(self, sandbox: str, *command: str, name: str = "main", **fields: Any) -> str:
        """``fields``: ``context`` and ``resources`` as keyword dicts, others of ContainerConfig."""
        context = {"no_new_privs": False, **fields.pop("context", {})}
        options = context.pop("namespace_options", {})
        linux = api_pb2.LinuxContainerConfig(
            resources=api_pb2.LinuxContainerResources(**fields.pop("resources", {})),
            security_context=api_pb2.LinuxContainerSecurityContext(
                namespace_options=api_pb2.NamespaceOption(**{"pid": api_pb2.CONTAINER, **options}), **context
            ),
        )
        config = api_pb2.ContainerConfig(
            metadata=api_pb2.ContainerMetadata(name=name),
            image=api_pb2.ImageSpec(image=fields.pop("image", IMAGE)),
            command=list(command),
            log_path=f"{name}.log",
            linux=linux,
            **fields,
        )
        request = api_pb2.CreateContainerRequest(pod_sandbox_id=sandbox, config=config)
        return str((await self.cri.CreateContainer(request)).container_id)

    async def start(self, container: str) -> None:
        await self.cri.StartContainer(api_pb2.StartContainerRequest(container_id=container))

    async def started(self, sandbox: str, script: str, **fields: Any) -> str:
        """A container that runs a shell script, running."""
        container = await self.create(sandbox, "/bin/sh", "-c", script, **fields)
        await self.start(container)
        return container

    async def status(self, container: str) -> api_pb2.ContainerStatus:
        request = api_pb2.ContainerStatusRequest(container_id=container)
        return (await self.cri.ContainerStatus(request)).status

    async def pid(self, container: str) -> int:
        request = api_pb2.ContainerStatusRequest(container_id=container, verbose=True)
        return int((await self.cri.ContainerStatus(request)).info["pid"])

    async def ended(self, container: str, seconds: float = 10.0) -> api_pb2.ContainerStatus:
        async with asyncio.timeout(seconds):
            while (found := await self.status(container)).state != api_pb2.CONTAINER_EXITED:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return found

    async def run(self, script: str, sandbox: str = "", **fields: Any) -> tuple[int, str]:
        """Exit code and output of a script in a container of its own, which is removed."""
        made = "" if sandbox else await self.sandbox(f"run-{uuid.uuid4().hex[:6]}")
        container = await self.started(sandbox or made, script, **fields)
        code = (await self.ended(container)).exit_code
        text = self.output(fields.get("name", "main"))
        await self.remove(container)
        if made:
            await self.remove_sandbox(made)
        return code, text

    def output(self, name: str = "main") -> str:
        """A container's log without times, both streams, parts of lines put together."""
        text = ""
        for line in (self.logs / f"{name}.log").read_text().splitlines():
            _, _, tag, said = line.split(" ", 3)
            text += said + ("\n" if tag == "F" else "")
        return text

    async def execute(self, container: str, *command: str, timeout: int = 10) -> tuple[int, str, str]:
        request = api_pb2.ExecSyncRequest(container_id=container, cmd=command, timeout=timeout)
        answer = await self.cri.ExecSync(request)
        return answer.exit_code, answer.stdout.decode(), answer.stderr.decode()

    async def stop(self, container: str, grace: int = 0) -> None:
        await self.cri.StopContainer(api_pb2.StopContainerRequest(container_id=container, timeout=grace))

    async def remove(self, container: str) -> None:
        await self.cri.RemoveContainer(api_pb2.RemoveContainerRequest(container_id=container))

    async def remove_sandbox(self, sandbox: str) -> None:
        await self.cri.StopPodSandbox(api_pb2.StopPodSandboxRequest(pod_sandbox_id=sandbox))
        await self.cri.RemovePodSandbox(api_pb2.RemovePodSandboxRequest(pod_sandbox_id=sandbox))


def config_for(folder: Path, spawner: Spawned) -> RuntimeConfig:
    return RuntimeConfig(
        tag=folder.name,
        data=folder / "runtime",
        run=folder / "run",
        spawner_socket=spawner.socket,
        socket=folder / "cri.sock",
    )


@contextlib.asynccontextmanager
async def running(folder: Path, spawner: Spawned) -> AsyncIterator[Node]:
    """The runtime, until the block ends; containers stay."""
    config = config_for(folder, spawner)
    async with (
        Runtime(config, NoNetwork(), RealClock(), Ids()) as runtime,
        grpc.aio.insecure_channel(f"unix:{config.socket}", options=OPTIONS) as channel,
    ):
        yield Node(runtime, config, channel, spawner)


@pytest.fixture
async def node(folder: Path, spawner: Spawned, busybox: Path) -> AsyncIterator[Node]:
    """A runtime that has ``IMAGE``; at the end everything is removed, and nothing may be left."""
    async with running(folder, spawner) as made:
        await made.load(busybox)
        yield made
        await made.runtime.purge()
