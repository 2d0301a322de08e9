"""Measure a whole cluster as users have it: ``tiphys up``, then the load generator against it.

    python bench/cluster.py --kubeload ./kubeload --image box.tar [--repeat 3] [--only default,pod_start]

Prints one table row per figure, the median of the repetitions; errors of a scenario
are printed and end with exit code 1. ``--image`` is an archive with
``example.test/box:1`` in it, which the pod_start scenario runs (any busybox will do).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

NAME = "bench"
PORT = 16943
DEFAULT = (
    "create_serial,create,get_serial,get,list_all,list_rv0,list_page500,list_selector,list_table,patch,status_patch,"
    "watch_fanout,delete"
)
SUITES = {
    "default": ["-only", DEFAULT, "-n", "2000"],
    "pod_start": ["-only", "pod_start", "-image", "example.test/box:1"],
    "schedule": ["-only", "schedule", "-nodes", "100", "-n", "2000"],
    "rollout": ["-only", "rollout", "-nodes", "100", "-n", "1000"],
}


def tiphys(*arguments: str) -> str:
    program = Path(sys.executable).with_name("tiphys")
    return subprocess.run([program, *arguments], check=True, capture_output=True, text=True).stdout


def components() -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(tiphys("status", "--name", NAME, "-o", "json"))["components"]
    return found


def memory_megabytes() -> dict[str, float]:
    """Proportional set size of each component: memory shared by several counts once in all."""
    sizes = {}
    for component in components():
        lines = Path(f"/proc/{component['pid']}/smaps_rollup").read_text().splitlines()
        sizes[str(component["name"])] = int(next(x for x in lines if x.startswith("Pss:")).split()[1]) / 1000
    return sizes


def load(binary: str, data: Path, suite: str, run: int) -> list[dict[str, object]]:
    pki = data / "pki"
    command = [
        binary, "-server", f"https://127.0.0.1:{PORT}", "-ca", pki / "ca.crt", "-cert", pki / "admin.crt",
        "-key", pki / "admin.key", "-c", "64", "-namespace", f"{suite.replace('_', '-')}-{run}", *SUITES[suite],
    ]  # fmt: skip
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kubeload", required=True)
    parser.add_argument("--image", required=True)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", default=",".join(SUITES))
    options = parser.parse_args()
    figures: defaultdict[str, list[float]] = defaultdict(list)
    units: dict[str, str] = {}
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        os.environ["KUBECONFIG"] = f"{folder}/kubeconfig"
        started = time.monotonic()
        tiphys("up", "--name", NAME, "--data-dir", str(data), "--port", str(PORT))
        print(f"| up, until the node is Ready and DNS answers | {time.monotonic() - started:.2f} s |")
        try:
            # Start-up work is over once nobody has anything left to write; the status is asked for meanwhile.
            for _ in range(20):
                idle = memory_megabytes()
            print(f"| memory, idle, all processes of the node | {sum(idle.values()):.0f} MB: {idle} |")
            tiphys("image", "load", "--name", NAME, options.image)
            for run in range(options.repeat):
                for suite in options.only.split(","):
                    for result in load(options.kubeload, data, suite, run):
                        name = str(result["scenario"])
                        if result["errors"]:
                            failed = True
                            print(f"ERROR {name}: {result['errors']}: {result.get('first_error')}")
                        rate = suite in ("default", "schedule")
                        figures[name].append(float(str(result["ops_per_s" if rate else "seconds"])))
                        units[name] = "/s" if rate else " s"
            for name, values in figures.items():
                median = statistics.median(values)
                print(f"| {name} | {median:.4g}{units[name]} | {min(values):.4g} to {max(values):.4g} |")
            print(f"| memory after the load | {memory_megabytes()} |")
        finally:
            tiphys("down", "--name", NAME, "--purge")
    sys.exit(failed)


if __name__ == "__main__":
    main()
