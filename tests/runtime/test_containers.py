"""A container's life: start, exit codes, logs, signals, failures, and what stays behind: nothing."""

import asyncio
import os
import re
import signal
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.runtime.conftest import IMAGE, Node, Spawned, eventually, running
from tiphys.runtime.cri import api_pb2
from tiphys.runtime.linux import syscalls

pytestmark = pytest.mark.root


async def test_it_runs_and_says_how_it_ended(node: Node) -> None:
    container = await node.started(await node.sandbox(), "echo out; echo err >&2; exit 3")
    found = await node.ended(container)
    assert (found.exit_code, found.reason) == (3, "Error")
    assert 0 < found.created_at <= found.started_at <= found.finished_at
    assert sorted(node.output().splitlines()) == ["err", "out"]


@pytest.mark.parametrize(
    ("script", "code", "reason"),
    [
        ("exit 0", 0, "Completed"),
        ("exit 255", 255, "Error"),
        ("kill -TERM \\$\\$; sleep 9", 143, "Error"),
        ("ulimit -c 0; kill -SEGV \\$\\$", 139, "Error"),
    ],
)
async def test_ends(node: Node, script: str, code: int, reason: str) -> None:
    # As the first process of a namespace a shell is spared its own signals, so it runs below another.
    container = await node.started(await node.sandbox(), f'sh -c "{script}"; exit $?')
    found = await node.ended(container)
    assert (found.exit_code, found.reason) == (code, reason)


async def test_killed_from_outside(node: Node) -> None:
    container = await node.started(await node.sandbox(), "sleep 1000")
    os.kill(await node.pid(container), signal.SIGKILL)
    found = await node.ended(container)
    assert (found.exit_code, found.reason) == (137, "Error")


async def test_too_much_memory(node: Node) -> None:
    sandbox = await node.sandbox()
    limits = {"memory_limit_in_bytes": 32 * 1024 * 1024}
    container = await node.started(sandbox, "exec tail /dev/zero", resources=limits)
    found = await node.ended(container, 30)
    assert (found.exit_code, found.reason) == (137, "OOMKilled")


# Logs


async def test_log_format(node: Node) -> None:
    container = await node.started(await node.sandbox(), "echo one; echo two >&2; echo; printf three")
    await node.ended(container)
    await eventually(lambda: "three" in (node.logs / "main.log").read_text())
    lines = (node.logs / "main.log").read_text().splitlines()
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z"
    assert all(re.fullmatch(f"{stamp} (stdout|stderr) F .*", line) for line in lines), lines
    said = {
        stream: [line.split(" ", 3)[3] for line in lines if f" {stream} " in line] for stream in ("stdout", "stderr")
    }
    assert said == {"stdout": ["one", "", "three"], "stderr": ["two"]}


async def test_long_lines_are_cut_into_parts(node: Node) -> None:
    script = "head -c 40000 /dev/zero | tr '\\0' a; echo; echo short"
    await node.ended(await node.started(await node.sandbox(), script))
    rows = [line.split(" ", 3)[2:] for line in (node.logs / "main.log").read_text().splitlines()]
    tags = [tag for tag, _ in rows]
    assert tags[-1] == "F"
    assert tags.count("F") == 2
    assert max(len(text) for _, text in rows) == 16 * 1024
    assert "".join(text for _, text in rows) == "a" * 40000 + "short"


async def test_a_partial_line_waits_for_its_rest(node: Node) -> None:
    """What was said without an end of line is in the log as soon as the container's end is known."""
    await node.ended(await node.started(await node.sandbox(), "printf 'half '"))
    assert node.output() == "half \n"


async def test_a_log_is_reopened_after_rotation(node: Node) -> None:
    container = await node.started(
        await node.sandbox(), "echo before; trap 'echo after' USR1; while :; do sleep 0.1; done"
    )
    log = node.logs / "main.log"
    await eventually(lambda: "before" in log.read_text())
    log.rename(node.logs / "main.log.1")
    await node.cri.ReopenContainerLog(api_pb2.ReopenContainerLogRequest(container_id=container))
    os.kill(await node.pid(container), signal.SIGUSR1)
    await eventually(lambda: "after" in log.read_text())
    assert "before" in (node.logs / "main.log.1").read_text()


async def test_a_terminal_has_one_stream(node: Node) -> None:
    await node.ended(await node.started(await node.sandbox(), "tty; echo err >&2", tty=True))
    rows = [line.split(" ", 3)[1:] for line in (node.logs / "main.log").read_bytes().decode().split("\n") if line]
    assert rows == [["stdout", "F", "/dev/pts/0\r"], ["stdout", "F", "err\r"]]


async def test_output_of_a_container_that_ends_at_once_is_whole(node: Node) -> None:
    container = await node.started(await node.sandbox(), "seq 1 20000")
    await node.ended(container)
    assert node.output() == "".join(f"{n}\n" for n in range(1, 20001))


# Stopping


async def test_stop_asks_first(node: Node) -> None:
    script = "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.05; done"
    container = await node.started(await node.sandbox(), script)
    await eventually(lambda: "ready" in node.output())
    await node.stop(container, 10)
    found = await node.status(container)
    assert (found.state, found.exit_code) == (api_pb2.CONTAINER_EXITED, 7)
    assert "bye" in node.output()


async def test_stop_does_not_wait_for_ever(node: Node) -> None:
    container = await node.started(await node.sandbox(), "trap '' TERM; echo ready; while :; do sleep 1; done")
    await eventually(lambda: "ready" in node.output())
    async with asyncio.timeout(5):
        await node.stop(container, 1)
    assert (await node.status(container)).exit_code == 137


async def test_the_containers_own_stop_signal(node: Node) -> None:
    script = "trap 'exit 9' USR1; trap 'exit 8' TERM; echo ready; while :; do sleep 0.05; done"
    container = await node.started(await node.sandbox(), script, stop_signal=api_pb2.SIGUSR1)
    await eventually(lambda: "ready" in node.output())
    await node.stop(container, 10)
    assert (await node.status(container)).exit_code == 9


async def test_everything_may_be_said_twice(node: Node) -> None:
    sandbox = await node.sandbox()
    container = await node.started(sandbox, "sleep 1000")
    for _ in range(2):
        await node.stop(container)
    for _ in range(2):
        await node.remove(container)
    for _ in range(2):
        await node.remove_sandbox(sandbox)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await node.status(container)
    assert raised.value.code() == grpc.StatusCode.NOT_FOUND


# Failures


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["nosuch"], 'exec: "nosuch": executable file not found in $PATH'),
        (["/no/such"], 'exec: "/no/such": stat /no/such: no such file or directory'),
        (["/etc"], 'exec: "/etc": is a directory'),
        (["/etc/passwd"], 'exec: "/etc/passwd": permission denied'),
    ],
)
async def test_what_cannot_be_executed(node: Node, command: list[str], message: str) -> None:
    container = await node.create(await node.sandbox(), *command)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await node.start(container)
    assert raised.value.details() == f"failed to create containerd task: {message}"
    found = await node.status(container)
    assert (found.state, found.exit_code, found.reason) == (api_pb2.CONTAINER_EXITED, 128, "StartError")
    assert message in found.message


async def test_a_volume_that_is_not_there(node: Node) -> None:
    mount = api_pb2.Mount(host_path="/no/such/volume", container_path="/data")
    container = await node.create(await node.sandbox(), "true", mounts=[mount])
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await node.start(container)
    assert "open volume" in str(raised.value.details())
    assert "/no/such/volume" in str(raised.value.details())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"image": "no/such:1"}, 'failed to get image "no/such:1": not found'),
        ({"context": {"run_as_username": "ghost"}}, "unable to find user ghost: no matching entries in passwd file"),
    ],
)
async def test_what_cannot_be_created(node: Node, fields: dict[str, Any], message: str) -> None:
    sandbox = await node.sandbox()
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await node.create(sandbox, "true", **fields)
    assert message in str(raised.value.details())
    assert not (await node.cri.ListContainers(api_pb2.ListContainersRequest())).containers


# What stays


def mounts_of(pid: int, folder: Path) -> list[str]:
    return [line for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines() if str(folder) in line]


async def test_a_sandboxs_first_process_holds_nothing_of_the_spawner(node: Node) -> None:
    sandbox = await node.sandbox("shared", pid=api_pb2.POD)
    init = node.runtime.sandboxes.get(sandbox).init_pid
    await eventually(lambda: held_by(init) == dict.fromkeys(("0", "1", "2"), "/dev/null"))


def held_by(pid: int) -> dict[str, str]:
    """Open descriptors and what they are."""
    try:
        return {name: os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")}
    except FileNotFoundError:
        return {}


def children_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


async def test_nothing_stays_of_what_is_removed(node: Node, folder: Path) -> None:
    async def once(name: str) -> None:
        sandbox = await node.sandbox(name)
        # A child that outlives the first process, and one in a command.
        container = await node.started(sandbox, "sleep 1000 & sleep 1000")
        await node.execute(container, "sh", "-c", "sleep 1000 &")
        await node.started(sandbox, "exit 0", name="second")
        await node.remove_sandbox(sandbox)

    await once("first")
    before = (len(os.listdir("/proc/self/fd")), node.spawner.descriptors())
    for index in range(3):
        await once(f"again{index}")
    assert (await node.runtime.spawner.call("list"))["processes"] == []
    assert mounts_of(os.getpid(), folder) == []
    assert mounts_of(node.spawner.pid, folder) == []
    for place in ("ns", "shm"):
        assert os.listdir(node.config.run / place) == []
    for place in ("sandboxes", "containers"):
        assert os.listdir(node.config.data / place) == []
    assert children_of(node.spawner.pid) == []
    assert (len(os.listdir("/proc/self/fd")), node.spawner.descriptors()) == before


# Restarts


async def test_containers_outlive_the_runtime(folder: Path, spawner: Spawned, busybox: Path) -> None:
    async with running(folder, spawner) as first:
        await first.load(busybox)
        sandbox = await first.sandbox()
        stays = await first.started(sandbox, "echo one; read x; echo two; sleep 1000", stdin=True, name="stays")
        ends = await first.started(sandbox, "read x; exit 5", stdin=True, name="ends")
        pid, ends_pid = await first.pid(stays), await first.pid(ends)
    os.kill(ends_pid, signal.SIGKILL)
    await eventually(lambda: not Path(f"/proc/{ends_pid}").exists())
    async with running(folder, spawner) as second:
        found = await second.status(stays)
        assert (found.state, await second.pid(stays)) == (api_pb2.CONTAINER_RUNNING, pid)
        assert (await second.status(ends)).exit_code == 137
        assert (await second.execute(stays, "echo", "hi")) == (0, "hi\n", "")
        answer = await second.cri.PodSandboxStatus(api_pb2.PodSandboxStatusRequest(pod_sandbox_id=sandbox))
        assert answer.status.state == api_pb2.SANDBOX_READY
        assert [image.repo_tags[0] for image in (await second.images.ListImages(api_pb2.ListImagesRequest())).images
                if "busybox" in image.repo_tags[0]] == [f"docker.io/{IMAGE}"]  # fmt: skip
        await second.stop(stays)
        assert (await second.status(stays)).exit_code == 137
        await second.runtime.purge()


async def test_commands_end_with_the_runtime_that_reads_them(folder: Path, spawner: Spawned, busybox: Path) -> None:
    async with running(folder, spawner) as first:
        await first.load(busybox)
        container = await first.started(await first.sandbox(), "sleep 1000")
        command = await first.runtime._containers.execute(  # type: ignore[union-attr]
            first.runtime._containers.get(container),
            ["sleep", "4321"],
            terminal=False,
            stdin=True,  # type: ignore[union-attr]
        )
        for descriptor in command.descriptors:
            os.close(descriptor)
    async with running(folder, spawner) as second:
        assert "4321" not in (await second.execute(container, "ps"))[1]
        listed = (await second.runtime.spawner.call("list"))["processes"]
        assert [p["id"] for p in listed if p["id"].startswith("exec-")] == []
        await second.runtime.purge()


async def test_a_sandbox_that_has_lost_its_namespaces_is_ready_no_more(
    folder: Path, spawner: Spawned, busybox: Path
) -> None:
    async with running(folder, spawner) as first:
        await first.load(busybox)
        sandbox = await first.sandbox()
        # As after a reboot: the files are there, the mounts are not.
        syscalls.umount2(str(folder / "run/ns" / sandbox / "net"))
    async with running(folder, spawner) as second:
        answer = await second.cri.PodSandboxStatus(api_pb2.PodSandboxStatusRequest(pod_sandbox_id=sandbox))
        assert answer.status.state == api_pb2.SANDBOX_NOTREADY
        await second.runtime.purge()


async def test_many_at_once(node: Node) -> None:
    sandbox = await node.sandbox()
    padding = [api_pb2.KeyValue(key=f"K{i}", value="x" * 1000) for i in range(100)]

    async def one(index: int) -> int:
        container = await node.started(sandbox, f"exit {index}", name=f"c{index}", envs=padding)
        return int((await node.ended(container, 30)).exit_code)

    assert await asyncio.gather(*map(one, range(40))) == list(range(40))
