"""How long simulated nodes take to run many Pods, and what they cost when nothing happens.

    python bench/simulate.py --nodes 1000 --pods 10000

Starts a cluster with ``tiphys up --simulate``, creates one Deployment, waits
until all of its replicas are ready, then looks at the processes' CPU time over a
minute of idleness.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TIPHYS = [sys.executable, "-c", "from tiphys.cli.main import main; main()"]
TICKS = os.sysconf("SC_CLK_TCK")
NAME = "bench-simulate"


def tiphys(*arguments: str, stdin: str = "") -> str:
    return subprocess.run([*TIPHYS, *arguments], input=stdin, check=True, capture_output=True, text=True).stdout


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("Pss:"))) / 1024


def manifest(pods: int) -> str:
    container = {"name": "web", "image": "example.test/web:1", "resources": {"requests": {"cpu": "10m"}}}
    return json.dumps(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "many", "namespace": "default"},
            "spec": {
                "replicas": pods,
                "selector": {"matchLabels": {"app": "many"}},
                "template": {"metadata": {"labels": {"app": "many"}}, "spec": {"containers": [container]}},
            },
        }
    )


class Watched:
    """The processes of the cluster, and what they have used since ``reset``."""

    def __init__(self, place: Path) -> None:
        status = json.loads(tiphys("status", "--name", NAME, "--data-dir", str(place), "-o", "json"))
        self.pids = {one["name"]: one["pid"] for one in status["components"]}
        self.reset()

    def reset(self) -> None:
        self.at = time.monotonic()
        self.before = {name: cpu_seconds(pid) for name, pid in self.pids.items()}

    def profiled(self) -> list[subprocess.Popen[bytes]]:
        """Samples are few and taken while the process goes on, so that measuring changes little."""
        command = ["py-spy", "record", "--nonblocking", "-d", "600", "-r", "50", "-f", "raw"]
        return [
            subprocess.Popen([*command, "-p", str(pid), "-o", f"simulate-{name}.raw"], stderr=subprocess.DEVNULL)
            for name, pid in self.pids.items()
            if name != "supervisor"
        ]

    def report(self, what: str) -> None:
        seconds = time.monotonic() - self.at
        used = {name: cpu_seconds(pid) - self.before[name] for name, pid in self.pids.items()}
        parts = ", ".join(f"{name} {spent:.2f}" for name, spent in used.items())
        share = sum(used.values()) / seconds * 100
        print(f"{what}: {seconds:.1f} s, CPU seconds {parts}; together {share:.1f} % of a core", flush=True)


def ready(access: list[str]) -> int:
    found = json.loads(tiphys("get", "deployment", "many", "-n", "default", "-o", "json", *access))
    return int(found["status"].get("readyReplicas") or 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--pods", type=int, default=10_000)
    parser.add_argument("--port", type=int, default=18443)
    parser.add_argument("--idle-seconds", type=float, default=60.0)
    parser.add_argument("--settle-seconds", type=float, default=30.0)
    parser.add_argument("--profile", action="store_true", help="of each process, by py-spy, as simulate-<name>.raw")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tiphys-bench-") as folder:
        place = Path(folder) / "data"
        access = ["--kubeconfig", str(Path(folder) / "kubeconfig")]
        here = ["--name", NAME, "--data-dir", str(place), *access]
        begin = time.monotonic()
        tiphys("up", *here, "--simulate", "--nodes", str(options.nodes), "--port", str(options.port))
        try:
            print(f"up with {options.nodes} nodes ready: {time.monotonic() - begin:.1f} s", flush=True)
            watched = Watched(place)
            profilers = watched.profiled() if options.profile else []
            watched.reset()
            tiphys("apply", "-f", "-", *access, stdin=manifest(options.pods))
            while (now := ready(access)) < options.pods and time.monotonic() - watched.at < 600:
                time.sleep(1.0)
            watched.report(f"{now} of {options.pods} Pods Ready")
            for profiler in profilers:
                profiler.send_signal(signal.SIGINT)
                profiler.wait()
            print("memory, MB: " + ", ".join(f"{n} {memory_mb(p):.0f}" for n, p in watched.pids.items()), flush=True)
            time.sleep(options.settle_seconds)
            watched.reset()
            time.sleep(options.idle_seconds)
            watched.report("idle")
        finally:
            tiphys("down", *here, "--purge")


if __name__ == "__main__":
    main()
