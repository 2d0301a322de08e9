"""The machine itself: who we are, the kernel, disk, memory, ports, tools."""

import os
import platform
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from tiphys.cli.choose import port_problem
from tiphys.cli.cluster import state_root
from tiphys.cli.doctor.findings import Finding, present

KERNEL_MIN = (5, 4)
DISK_LOW_BYTES = 1 << 30
DISK_NEEDED_BYTES = 100 << 20
API_PORT = 6443
SYS_RESOURCE = 24
#: Tools that are nice to have, and what for.
TOOLS = {"kubectl": "the usual client; tiphys has the common verbs itself", "crun": "containers by a RuntimeClass"}


def check() -> Iterator[Finding]:
    root = os.geteuid() == 0
    yield present(
        "root", root, "runs as root", "MISSING", "containers need root", 'run "sudo tiphys up" and "sudo tiphys doctor"'
    )
    yield _kernel()
    yield present(
        "CAP_SYS_RESOURCE",
        bool(_capabilities() >> SYS_RESOURCE & 1),
        "process limits can be raised",
        "LIMITED",
        "containers keep the out-of-memory score and hard limits that this machine gives them",
        "give the machine (or the container that it is) this capability",
    )
    yield _disk()
    yield _port()
    for tool, purpose in TOOLS.items():
        path = shutil.which(tool)
        yield present(tool, path is not None, path or "", "LIMITED", f"not installed, and not needed: {purpose}")


def _kernel() -> Finding:
    release = platform.release()
    numbers = re.findall(r"\d+", release)
    version = tuple(int(number) for number in numbers[:2])
    least = ".".join(map(str, KERNEL_MIN))
    return present(
        "kernel",
        platform.system() == "Linux" and version >= KERNEL_MIN,
        f"{platform.system()} {release}",
        "MISSING",
        f"{platform.system()} {release}; real containers need Linux {least} or newer",
    )


def _capabilities() -> int:
    """What this process, and so its containers, may have at most."""
    for line in _lines(Path("/proc/self/status")):
        if line.startswith("CapBnd:"):
            return int(line.split()[1], 16)
    return 0


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def _disk() -> Finding:
    """Where clusters live, or where the folder for them would be made."""
    root = state_root()
    place = next(path for path in (root, *root.parents) if path.exists())
    free = shutil.disk_usage(place).free
    text = f"{free / (1 << 30):.1f} GiB free in {place}"
    if free < DISK_NEEDED_BYTES:
        return Finding("disk space", "MISSING", text, "free some space, or use --data-dir on another disk")
    if free < DISK_LOW_BYTES:
        return Finding("disk space", "LIMITED", f"{text}; images may not fit", "use --data-dir on another disk")
    return Finding("disk space", "OK", text)


def _port() -> Finding:
    problem = port_problem(API_PORT)
    return present(
        f"port {API_PORT}",
        problem is None,
        "free",
        "LIMITED",
        f"{problem} (perhaps by a cluster that runs)",
        'choose another: "tiphys up --port 16443"',
    )
