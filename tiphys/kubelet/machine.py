"""What the machine is and has, read from the kernel; and how it is doing, for the node's conditions."""

import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

from tiphys.kubelet.config import MachineFacts

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _meminfo() -> dict[str, int]:
    """Bytes by name."""
    found: dict[str, int] = {}
    for line in _read("/proc/meminfo").splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if words:
            found[name] = int(words[0]) * (1024 if words[-1] == "kB" else 1)
    return found


def machine_facts(root: Path) -> MachineFacts:
    """``root`` lies on the file system that Pods fill."""
    lines = [line.partition("=") for line in _read("/etc/os-release").splitlines()]
    release = {name: text.strip('"') for name, _, text in lines}
    disk = shutil.disk_usage(root)
    memory = _meminfo()
    machine_id = _read("/etc/machine-id")
    return MachineFacts(
        cpus=os.cpu_count() or 1,
        memory_bytes=memory.get("MemTotal", 0),
        machine_id=machine_id,
        system_uuid=_read("/sys/class/dmi/id/product_uuid") or machine_id,
        boot_id=_read("/proc/sys/kernel/random/boot_id"),
        kernel_version=platform.release(),
        os_image=release.get("PRETTY_NAME", "Linux"),
        architecture=_ARCHITECTURES.get(platform.machine(), platform.machine()),
        disk_bytes=disk.total,
        disk_free_bytes=disk.free,
        swap_bytes=memory.get("SwapTotal", 0),
        pid_max=int(_read("/proc/sys/kernel/pid_max") or 32768),
        missing=missing_features(),
    )


def missing_features() -> tuple[str, ...]:
    """What this kernel does not give Pods, each a sentence for people."""
    missing: list[str] = []
    filesystems = {line.split()[-1] for line in _read("/proc/filesystems").splitlines() if line}
    if "overlay" not in filesystems:
        missing.append("overlayfs is missing, images are copied for each container")
    if "cgroup2" not in filesystems and "cgroup" not in filesystems:
        missing.append("cgroups are missing, requests and limits are not enforced")
    else:
        missing += [
            f"cgroup controller {name} is missing, {effect}"
            for name, effect in (
                ("cpu", "CPU requests and limits are not enforced"),
                ("memory", "memory limits are not enforced"),
                ("pids", "process limits are not enforced"),
            )
            if not _has_controller(name)
        ]
    if not Path("/proc/self/ns/user").exists():
        missing.append("user namespaces are missing")
    return tuple(missing)


def _has_controller(name: str) -> bool:
    if name in _read("/sys/fs/cgroup/cgroup.controllers").split():
        return True
    rows = [line.split() for line in _read("/proc/cgroups").splitlines() if not line.startswith("#")]
    return any(row[0] == name and row[-1] == "1" for row in rows if row)


@dataclass(frozen=True, slots=True)
class Load:
    """How the machine is doing now."""

    memory_available_bytes: int
    disk_free_bytes: int
    disk_bytes: int
    inodes_free: int
    inodes: int
    pids: int
    pid_max: int


def load(root: Path) -> Load:
    disk = os.statvfs(root)
    running = _read("/proc/loadavg").split()
    pids = int(running[3].split("/")[1]) if len(running) > 3 else 0
    return Load(
        memory_available_bytes=_meminfo().get("MemAvailable", 0),
        disk_free_bytes=disk.f_bavail * disk.f_frsize,
        disk_bytes=disk.f_blocks * disk.f_frsize,
        inodes_free=disk.f_favail,
        inodes=disk.f_files,
        pids=pids,
        pid_max=int(_read("/proc/sys/kernel/pid_max") or 32768),
    )
