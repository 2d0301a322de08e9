"""A real supervisor with real child processes that do nothing: starting, ending, coming back, being orphaned."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tiphys.cli.cluster import Cluster, ClusterConfig
from tiphys.cli.supervisor import remote
from tiphys.cli.supervisor.loop import Row, Supervisor
from tiphys.cli.supervisor.process import ProcessId, end, find_process, read_pid_file, wait_gone, write_pid_file

CONFIG = ClusterConfig(
    name="t", id="00000000", port=1, kubelet_port=2, pod_range="10.1.0.0/16", service_range="10.2.0.0/16", node_name="n"
)


class Idle:
    async def wait(self) -> None:
        await asyncio.Event().wait()


class Failing:
    async def wait(self) -> None:
        raise OSError("the disk is on fire")


@asynccontextmanager
async def run_idle(cluster: Cluster, config: ClusterConfig) -> AsyncIterator[Idle]:
    yield Idle()
    (cluster.data / "left-in-order").touch()


@asynccontextmanager
async def run_failing(cluster: Cluster, config: ClusterConfig) -> AsyncIterator[Failing]:
    yield Failing()


HERE = "tests.cli.test_supervisor"


def start(cluster: Cluster, rows: list[Row]) -> int:
    cluster.make_directories()
    sys.stdout.flush()
    pid = os.fork()
    if not pid:
        code = 1
        try:
            write_pid_file(cluster.pid_file("supervisor"), os.getpid())
            supervisor = Supervisor(cluster, CONFIG, {row.name: row for row in rows})
            supervisor.listen()
            supervisor.run()
            code = 0
        finally:
            os._exit(code)
    return pid


def follow(cluster: Cluster) -> Iterator[remote.Status]:
    """States from now on; waits for the supervisor's socket by retrying the connection."""
    for _ in range(1000):
        try:
            yield from remote.ask(cluster, "watch", timeout_seconds=20)
            return
        except ConnectionError:
            os.sched_yield()
            signal.sigtimedwait([], 0.01)
    pytest.fail("the supervisor never listened")


def component(status: remote.Status, name: str) -> dict[str, object]:
    found: dict[str, object] = next(c for c in status["components"] if c["name"] == name)
    return found


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster("t", tmp_path / "c")
    yield made
    if left := read_pid_file(made.pid_file("supervisor")):
        end(left, 5)


def test_it_starts_in_order_restarts_what_is_killed_and_stops_cleanly(cluster: Cluster) -> None:
    rows = [Row("one", run=f"{HERE}:run_idle"), Row("two", ("one",), run=f"{HERE}:run_idle")]
    supervisor = start(cluster, rows)
    states = follow(cluster)
    status = next(s for s in states if s["ready"])
    victim = component(status, "one")["pid"]
    assert isinstance(victim, int)
    os.kill(victim, signal.SIGKILL)
    status = next(s for s in states if s["ready"] and component(s, "one")["restarts"] == 1)
    assert component(status, "one")["pid"] != victim
    pids = [c["pid"] for c in status["components"]]
    last = list(remote.ask(cluster, "stop", timeout_seconds=20))[-1]
    assert {c["state"] for c in last["components"]} == {"ready", "stopped"}
    assert os.waitpid(supervisor, 0)[1] == 0
    assert [find_process(pid) for pid in pids] == [None] * 3
    assert (cluster.data / "left-in-order").exists()
    assert not cluster.supervisor_socket.exists()


def test_a_failure_is_told_with_its_reason(cluster: Cluster) -> None:
    supervisor = start(cluster, [Row("bad", run=f"{HERE}:run_failing")])
    status = next(s for s in follow(cluster) if component(s, "bad")["restarts"])
    assert component(status, "bad")["message"] == "exit code 1: OSError: the disk is on fire"
    assert "the disk is on fire" in cluster.log_file("bad").read_text()
    list(remote.ask(cluster, "stop", timeout_seconds=20))
    os.waitpid(supervisor, 0)


def test_children_end_when_the_supervisor_is_killed(cluster: Cluster) -> None:
    supervisor = start(cluster, [Row("one", run=f"{HERE}:run_idle")])
    status = next(s for s in follow(cluster) if s["ready"])
    child = find_process(int(str(component(status, "one")["pid"])))
    os.kill(supervisor, signal.SIGKILL)
    os.waitpid(supervisor, 0)
    assert isinstance(child, ProcessId)
    assert wait_gone(child, 10)
    assert remote.find_status(cluster) is None
