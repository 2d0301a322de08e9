"""What of this host decides about containers, read once at start."""

import os
import stat
from pathlib import Path

from tiphys.runtime.linux.cgroups import Cgroups
from tiphys.runtime.plan import Node, Spec

#: Made for each container, or nobody else's business.
SKIPPED_DEVICES = ("pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev")


def of_this_host(cgroups: Cgroups) -> Node:
    return Node(
        capabilities=_own_capabilities(),
        controls_devices=cgroups.controls_devices,
        cgroup_mounts=cgroups.mounts(),
        devices=_devices(),
    )


def _own_capabilities() -> int:
    """Nobody can be given more than what we may have."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapBnd:"):
            return int(line.split()[1], 16)
    return 0


def _devices() -> list[Spec]:
    found: list[Spec] = []
    for base, folders, names in os.walk("/dev"):
        if base == "/dev":
            folders[:] = [name for name in folders if name not in SKIPPED_DEVICES]
        for name in names:
            path = os.path.join(base, name)
            info = os.lstat(path)
            if stat.S_ISCHR(info.st_mode) or stat.S_ISBLK(info.st_mode):
                found.append({
                    "path": path,
                    "type": "b" if stat.S_ISBLK(info.st_mode) else "c",
                    "major": os.major(info.st_rdev),
                    "minor": os.minor(info.st_rdev),
                    "mode": stat.S_IMODE(info.st_mode),
                    "uid": info.st_uid,
                    "gid": info.st_gid,
                })  # fmt: skip
    return found
