"""``tiphys up --simulate`` as a user has it: all processes, without root, and without what only Linux has."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

NOBODY = 65534
#: One cluster for all of them, hence one process of several that run tests.
pytestmark = pytest.mark.xdist_group("simulate")
NAME = f"sim-{os.getpid()}"
ELSEWHERE = Path(__file__).parent / "elsewhere"
ROOT = Path(__file__).parents[2]
BUSY = """
apiVersion: sim.tiphys.dev/v1
kind: Simulation
metadata: {name: busy}
spec: {pods: {cpu: 900m, log: busy}}
"""
WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: c, image: example.test/web}]
"""


@dataclass
class User:
    """Who calls commands, and with which surroundings."""

    home: Path
    environment: dict[str, str]
    becomes: dict[str, object] = field(default_factory=dict)

    def run(self, *command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            text=True,
            env=self.environment,
            cwd="/",
            timeout=60,
            check=False,
            **self.becomes,
        )

    def tiphys(self, *arguments: str, stdin: str = "") -> str:
        done = self.run(sys.executable, "-c", "from tiphys.cli.main import main; main()", *arguments, stdin=stdin)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    def kubectl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run("kubectl", "--context", f"tiphys-{NAME}", *arguments)


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    """Nobody if we are root and nobody can run our Python, else ourselves."""
    home = tmp_path_factory.mktemp("home")
    paths = os.pathsep.join((str(ELSEWHERE), str(ROOT)))
    environment = {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": paths,
        "XDG_DATA_HOME": str(home / "d"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    made = User(home, environment)
    if os.geteuid() == 0:
        made.becomes = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        for folder in (home, *home.parents[:2]):
            folder.chmod(0o755)
        os.chown(home, NOBODY, NOBODY)
        try:
            usable = made.run(sys.executable, "-c", "import tiphys.cli.main").returncode == 0
        except PermissionError:
            usable = False
        if not usable:
            made.becomes = {}
    yield made


def free_port() -> int:
    """One that no other process of these tests is about to take as well."""
    with socket.socket() as one:
        one.bind(("0.0.0.0", 0))
        port: int = one.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def up(user: User) -> Iterator[User]:
    port = free_port()
    place = ["--name", NAME, "--data-dir", str(user.home / "d" / "tiphys" / NAME)]
    try:
        user.tiphys("up", *place, "--simulate", "--nodes", "2", "--port", str(port))
        yield user
    finally:
        user.tiphys("down", *place, "--purge")
    assert not (user.home / "d" / "tiphys" / NAME).exists()


def eventually(look: Callable[[], bool], seconds: float = 40.0) -> None:
    late = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < late
        time.sleep(0.2)


def test_status_names_its_processes(up):
    status = json.loads(up.tiphys("status", "--name", NAME, "-o", "json"))
    assert status["ready"]
    assert [one["name"] for one in status["components"]] == ["supervisor", "apiserver", "controllers", "nodes"]


def test_pods_run_log_and_are_measured(up):
    up.tiphys("apply", "--name", NAME, "-f", "-", stdin=WEB)
    up.tiphys("apply", "--name", NAME, "-f", "-", stdin=BUSY)

    def pods() -> list[dict]:
        return json.loads(up.tiphys("get", "pods", "--name", NAME, "-l", "app=web", "-o", "json"))["items"]

    eventually(lambda: [p["status"]["phase"] for p in pods()].count("Running") >= 1)
    name = pods()[0]["metadata"]["name"]
    assert up.tiphys("logs", name, "--name", NAME) == "busy\n"
    assert name in up.tiphys("describe", "pod", name, "--name", NAME)
    refused = up.kubectl("exec", name, "--", "true")
    assert refused.returncode == 1
    assert "simulated and nothing runs in it" in refused.stderr
    eventually(lambda: "900m" in up.kubectl("top", "pods").stdout)


def test_the_data_are_its_owners_alone(up):
    place = up.home / "d" / "tiphys" / NAME
    assert place.stat().st_mode & 0o77 == 0
