"""A whole cluster for one test, seen from outside: its processes, its objects, what it holds in the kernel."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tiphys.cli import identities
from tiphys.cli.cluster import Cluster
from tiphys.cli.supervisor import process
from tiphys.client import Client
from tiphys.network.config import NetworkConfig
from tiphys.runtime.records import Sandbox

COMMAND = [sys.executable, "-c", "from tiphys.cli.main import main; main()"]
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Place:
    """A cluster of the test's own: its command line and its traces."""

    cluster: Cluster
    folder: Path
    port: int

    def tiphys(self, *arguments: str) -> "subprocess.Popen[bytes]":
        """The command, started; its output goes to a file that a failing test shows."""
        with (self.folder / "output").open("ab") as output:
            return subprocess.Popen(
                [*COMMAND, *arguments, "--name", self.cluster.name],
                env={**os.environ, "KUBECONFIG": str(self.folder / "kubeconfig")},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def up(self) -> None:
        started = self.tiphys("up", "--data-dir", str(self.cluster.data), "--port", str(self.port))
        assert started.wait(PATIENCE_SECONDS) == 0, self.output()

    def down(self) -> None:
        assert self.tiphys("down", "--purge").wait(PATIENCE_SECONDS) == 0, self.output()

    def output(self) -> str:
        return (self.folder / "output").read_text()

    def kill(self, component: str) -> None:
        """SIGKILL, to this cluster's own process alone."""
        if found := process.read_pid_file(self.cluster.pid_file(component)):
            os.kill(found.pid, signal.SIGKILL)

    def client(self) -> Client:
        return identities.client(self.cluster, self.cluster.load(), "admin", "chaos")

    # Traces

    def traces(self) -> dict[str, list[str]]:
        """What this machine holds of the cluster, by kind; all empty when it is gone."""
        data = str(self.cluster.data)
        names = NetworkConfig(self.cluster.id, self.cluster.data)
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        links = json.loads(subprocess.check_output(["ip", "-j", "link"]))
        tables = subprocess.check_output(["nft", "list", "tables"], text=True).splitlines()
        return {
            "mounts": [line for line in mounts if data in line],
            "links": [link["ifname"] for link in links if link["ifname"].startswith(names.port_prefix)],
            "tables": [line for line in tables if names.table_prefix in line],
            "groups": [str(path) for path in groups(self.cluster.id)],
            "processes": self.processes(),
            "files": [str(path) for path in (self.cluster.data, self.cluster.run, self.cluster.link) if path.exists()],
        }

    def processes(self) -> list[str]:
        """All whose command line names the data directory, and all in the cluster's control groups."""
        found = set()
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                member = f"/tiphys-{self.cluster.id}" in (folder / "cgroup").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if member or str(self.cluster.data) in line or f"--name {self.cluster.name}" in line:
                found.add(f"{folder.name} {line}")
        return sorted(found)

    def pods_in_kernel(self) -> dict[str, int]:
        """How many Pods each part of the kernel, and of the disk, believes there are."""
        names = NetworkConfig(self.cluster.id, self.cluster.data)
        links = json.loads(subprocess.check_output(["ip", "-j", "link"]))
        ports = [link for link in links if link["ifname"].startswith(names.port_prefix)]
        folders = {path.name for path in groups(self.cluster.id) if path.name.startswith("pod")}
        return {
            "namespaces": len(os.listdir(self.cluster.run / "ns")),
            "links": len(ports) - 1,
            "groups": len(folders),
            "sandboxes": len(self._sandboxes()),
            "volumes": len(os.listdir(self.cluster.data / "kubelet" / "pods")),
        }

    def _sandboxes(self) -> set[str]:
        """Pods that have sandboxes; those of a Pod's earlier attempts may stay a while."""
        folder = self.cluster.data / "runtime" / "sandboxes"
        records = [
            msgspec.json.decode((place / "record.json").read_bytes(), type=Sandbox) for place in folder.iterdir()
        ]
        return {record.message().metadata.uid for record in records}


def groups(cluster_id: str) -> list[Path]:
    root = Path("/sys/fs/cgroup")
    tops = [*root.glob(f"tiphys-{cluster_id}"), *root.glob(f"*/tiphys-{cluster_id}")]
    return [Path(base) for top in tops for base, _, _ in os.walk(top)]


@contextmanager
def place(name: str, port: int) -> Iterator[Place]:
    """The cluster does not run yet; afterwards it is gone, whatever happened."""
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-"))
    made = Place(Cluster.named(name, str(folder / "data")), folder, port)
    try:
        yield made
    finally:
        made.tiphys("down", "--purge").wait(PATIENCE_SECONDS)
        shutil.rmtree(folder, ignore_errors=True)
