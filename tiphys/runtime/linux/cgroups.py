"""Control groups in both versions behind one small interface.

A host may have version 2, version 1, or both with the controllers in version 1.
Whatever hierarchy has the memory controller is the one that is used.
Paths are relative to the hierarchies' roots, such as ``/tiphys-ab12c/kubepods/pod1/c1``.
"""

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

V1_CONTROLLERS = ("cpu", "cpuacct", "memory", "pids", "devices")
V2_CONTROLLERS = ("cpu", "memory", "pids", "cpuset", "io")
#: Devices that every container may use: (type, major, minor, access). Source: OCI Runtime Specification,
#: "Default Devices"; making nodes is allowed, using them is not.
DEVICE_RULES = (
    "c *:* m", "b *:* m", "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm", "c 1:8 rwm", "c 1:9 rwm", "c 5:0 rwm", "c 5:2 rwm",
    "c 136:* rwm",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Limits:
    """0 and None mean "as it is". Units are those of CRI's LinuxContainerResources."""

    cpu_shares: int = 0
    cpu_quota: int = 0
    cpu_period: int = 0
    memory_bytes: int = 0
    pids: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    #: Access rules besides the defaults; None: any device.
    devices: tuple[str, ...] | None = ()
    unified: Mapping[str, str] | None = None


class Usage(NamedTuple):
    """What a group has used. Nanoseconds and bytes."""

    cpu_nanoseconds: int
    memory_bytes: int
    working_set_bytes: int
    rss_bytes: int
    processes: int


class Cgroups(Protocol):
    """One version's ways."""

    #: Whether access to devices is controlled; without it containers must not make nodes.
    controls_devices: bool

    def create(self, path: str, limits: Limits) -> list[str]:
        """Make the group and those above it; the folders whose ``cgroup.procs`` a member writes to."""

    def update(self, path: str, limits: Limits) -> None:
        """Change limits. Raises OSError."""

    def remove(self, path: str) -> None:
        """Remove the group and all below it; repeating it is fine. Raises OSError while processes are left."""

    def processes(self, path: str) -> list[int]:
        """Members of the group and of those below it."""

    def oom_kills(self, path: str) -> int:
        """How often the kernel ended a member for lack of memory."""

    def usage(self, path: str) -> Usage:
        """Raises OSError if the group is gone."""

    def mounts(self) -> list[tuple[str, str, str]]:
        """What a container mounts below /sys/fs/cgroup: (folder, file system, options)."""


def _write(folder: Path, name: str, value: str) -> None:
    (folder / name).write_text(value)


def _number(folder: Path, name: str) -> int:
    text = (folder / name).read_text().strip()
    return int(text) if text.isdigit() else 0


def _table(path: Path) -> dict[str, int]:
    """A file of ``name number`` lines."""
    rows = (line.split() for line in path.read_text().splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()}


def _remove_tree(folder: Path) -> None:
    """Groups are folders; their files vanish with them."""
    if not folder.is_dir():
        return
    for base, folders, _ in os.walk(folder, topdown=False):
        for name in folders:
            with suppress(FileNotFoundError):
                os.rmdir(os.path.join(base, name))
    with suppress(FileNotFoundError):
        os.rmdir(folder)


def _processes(folder: Path) -> list[int]:
    found: list[int] = []
    for base, _, _ in os.walk(folder):
        with suppress(OSError):
            found += map(int, Path(base, "cgroup.procs").read_text().split())
    return found


class V1:
    """One hierarchy per controller."""

    def __init__(self, hierarchies: Mapping[str, Path]) -> None:
        self._roots = {name: hierarchies[name] for name in V1_CONTROLLERS if name in hierarchies}
        self._cpuset = hierarchies.get("cpuset")
        self.controls_devices = "devices" in self._roots

    def _folders(self, path: str) -> dict[str, Path]:
        return {name: root / path.lstrip("/") for name, root in self._roots.items()}

    def create(self, path: str, limits: Limits) -> list[str]:
        folders = self._folders(path)
        for folder in set(folders.values()):
            folder.mkdir(parents=True, exist_ok=True)
        self._set_devices(folders, limits)
        self.update(path, limits)
        joined = {str(folder) for folder in folders.values()}
        if limits.cpuset_cpus and self._cpuset is not None:
            joined.add(str(self._pin(path, limits)))
        return sorted(joined)

    def _set_devices(self, folders: Mapping[str, Path], limits: Limits) -> None:
        folder = folders.get("devices")
        if folder is None or limits.devices is None:
            return
        _write(folder, "devices.deny", "a")
        for rule in (*DEVICE_RULES, *limits.devices):
            _write(folder, "devices.allow", rule)

    def _pin(self, path: str, limits: Limits) -> Path:
        """A group in the cpuset hierarchy needs its values before it takes members."""
        assert self._cpuset is not None
        folder = self._cpuset
        for part in Path(path.lstrip("/")).parts:
            parent, folder = folder, folder / part
            folder.mkdir(exist_ok=True)
            for name in ("cpuset.cpus", "cpuset.mems"):
                if not (folder / name).read_text().strip():
                    _write(folder, name, (parent / name).read_text())
        _write(folder, "cpuset.cpus", limits.cpuset_cpus)
        if limits.cpuset_mems:
            _write(folder, "cpuset.mems", limits.cpuset_mems)
        return folder

    def update(self, path: str, limits: Limits) -> None:
        folders = self._folders(path)
        if (cpu := folders.get("cpu")) is not None:
            if limits.cpu_shares:
                _write(cpu, "cpu.shares", str(max(2, limits.cpu_shares)))
            if limits.cpu_period:
                _write(cpu, "cpu.cfs_period_us", str(limits.cpu_period))
            if limits.cpu_quota:
                _write(cpu, "cpu.cfs_quota_us", str(limits.cpu_quota))
        if (memory := folders.get("memory")) is not None and limits.memory_bytes:
            _write(memory, "memory.limit_in_bytes", str(limits.memory_bytes))
        if (pids := folders.get("pids")) is not None and limits.pids:
            _write(pids, "pids.max", str(limits.pids))

    def remove(self, path: str) -> None:
        folders = set(self._folders(path).values())
        if self._cpuset is not None:
            folders.add(self._cpuset / path.lstrip("/"))
        for folder in folders:
            _remove_tree(folder)

    def processes(self, path: str) -> list[int]:
        return sorted({pid for folder in set(self._folders(path).values()) for pid in _processes(folder)})

    def oom_kills(self, path: str) -> int:
        with suppress(OSError, KeyError):
            return _table(self._folders(path)["memory"] / "memory.oom_control").get("oom_kill", 0)
        return 0

    def usage(self, path: str) -> Usage:
        folders = self._folders(path)
        memory = folders["memory"]
        stat = _table(memory / "memory.stat")
        used = _number(memory, "memory.usage_in_bytes")
        working = max(0, used - stat.get("total_inactive_file", 0))
        cpu = _number(folders["cpuacct"], "cpuacct.usage") if "cpuacct" in folders else 0
        pids = _number(folders["pids"], "pids.current") if "pids" in folders else 0
        return Usage(cpu, used, working, stat.get("total_rss", 0), pids)

    def mounts(self) -> list[tuple[str, str, str]]:
        return [(name, "cgroup", name) for name in self._roots]


class V2:
    """One hierarchy for all controllers."""

    # It would take a BPF program; containers are kept from making device nodes instead.
    controls_devices = False

    def __init__(self, root: Path) -> None:
        self._root = root
        available = (root / "cgroup.controllers").read_text().split()
        self._controllers = [name for name in V2_CONTROLLERS if name in available]

    def _folder(self, path: str) -> Path:
        return self._root / path.lstrip("/")

    def create(self, path: str, limits: Limits) -> list[str]:
        parent = self._root
        for part in Path(path.lstrip("/")).parts:
            self._delegate(parent)
            parent = parent / part
            parent.mkdir(exist_ok=True)
        self.update(path, limits)
        return [str(parent)]

    def _delegate(self, folder: Path) -> None:
        enabled = (folder / "cgroup.subtree_control").read_text().split()
        missing = [f"+{name}" for name in self._controllers if name not in enabled]
        for name in missing:
            with suppress(OSError):
                _write(folder, "cgroup.subtree_control", name)

    def update(self, path: str, limits: Limits) -> None:
        folder = self._folder(path)
        values: dict[str, str] = {}
        if limits.cpu_shares:
            values["cpu.weight"] = str(weight(limits.cpu_shares))
        if limits.cpu_quota:
            quota = "max" if limits.cpu_quota < 0 else str(limits.cpu_quota)
            values["cpu.max"] = f"{quota} {limits.cpu_period or 100000}"
        if limits.memory_bytes:
            values["memory.max"] = "max" if limits.memory_bytes < 0 else str(limits.memory_bytes)
        if limits.pids:
            values["pids.max"] = "max" if limits.pids < 0 else str(limits.pids)
        if limits.cpuset_cpus:
            values["cpuset.cpus"] = limits.cpuset_cpus
        values.update(limits.unified or {})
        for name, value in values.items():
            if (folder / name).exists():
                _write(folder, name, value)

    def remove(self, path: str) -> None:
        _remove_tree(self._folder(path))

    def processes(self, path: str) -> list[int]:
        return _processes(self._folder(path))

    def oom_kills(self, path: str) -> int:
        with suppress(OSError):
            return _table(self._folder(path) / "memory.events").get("oom_kill", 0)
        return 0

    def usage(self, path: str) -> Usage:
        folder = self._folder(path)
        cpu = _table(folder / "cpu.stat").get("usage_usec", 0) * 1000
        stat = _table(folder / "memory.stat")
        used = _number(folder, "memory.current")
        pids = _number(folder, "pids.current") if (folder / "pids.current").exists() else 0
        return Usage(cpu, used, max(0, used - stat.get("inactive_file", 0)), stat.get("anon", 0), pids)

    def mounts(self) -> list[tuple[str, str, str]]:
        return [("", "cgroup2", "")]


def weight(shares: int) -> int:
    """CPU shares (2 to 262144) as version 2's weight (1 to 10000). Source: KEP-2254 cgroup v2, "Proposal"."""
    return 1 + (max(2, min(shares, 262144)) - 2) * 9999 // 262142


def detect(mounts: Iterable[str]) -> Cgroups:
    """The hierarchies of this host. ``mounts`` are lines of /proc/self/mountinfo. Raises OSError if none is usable."""
    hierarchies: dict[str, Path] = {}
    unified: Path | None = None
    for line in mounts:
        before, _, after = line.partition(" - ")
        place = Path(before.split(" ")[4])
        kind, _, options = after.split(" ")[:3]
        if kind == "cgroup":
            for option in options.strip().split(","):
                hierarchies.setdefault(option, place)
        elif kind == "cgroup2" and unified is None:
            unified = place
    if "memory" in hierarchies:
        return V1(hierarchies)
    if unified is not None and "memory" in (unified / "cgroup.controllers").read_text().split():
        return V2(unified)
    raise OSError("no cgroup hierarchy with the memory controller is mounted; mount cgroup2 at /sys/fs/cgroup")


def of_this_host() -> Cgroups:
    with open("/proc/self/mountinfo") as mounts:
        return detect(mounts)
