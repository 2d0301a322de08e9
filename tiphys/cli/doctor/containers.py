"""What containers are made of: namespaces, cgroups, overlay, seccomp."""

from collections.abc import Iterator
from pathlib import Path

from tiphys.cli.doctor.findings import Finding, State

#: Controllers that limits need, by the state of a machine without them.
CONTROLLERS: dict[str, State] = {"cpu": "LIMITED", "memory": "LIMITED", "pids": "LIMITED"}
NAMESPACES = ("mnt", "pid", "net", "ipc", "uts")


def check() -> Iterator[Finding]:
    yield _namespaces()
    yield _user_namespaces()
    yield from _cgroups()
    yield _overlay()
    yield _seccomp()


def _namespaces() -> Finding:
    missing = [name for name in NAMESPACES if not Path(f"/proc/self/ns/{name}").exists()]
    if missing:
        return Finding("namespaces", "MISSING", f"the kernel has no {', '.join(missing)} namespaces", "another kernel")
    return Finding("namespaces", "OK", ", ".join(NAMESPACES))


def _user_namespaces() -> Finding:
    meaning = "Pods with hostUsers: false cannot start"
    if not Path("/proc/self/ns/user").exists():
        return Finding("user namespaces", "LIMITED", f"the kernel has none; {meaning}")
    most = _text("/proc/sys/user/max_user_namespaces")
    if most == "0":
        return Finding("user namespaces", "LIMITED", meaning, "sysctl user.max_user_namespaces=10000")
    return Finding("user namespaces", "OK", f"up to {most}" if most else "")


def _cgroups() -> Iterator[Finding]:
    v1, v2 = _hierarchies()
    kind = "hybrid: v1 with a v2 tree beside it" if v1 and v2 is not None else "v1" if v1 else "v2"
    if not v1 and v2 is None:
        yield Finding(
            "cgroups",
            "MISSING",
            "no cgroup filesystem is mounted",
            "mount -t cgroup2 none /sys/fs/cgroup",
        )
        return
    yield Finding("cgroups", "OK", kind)
    there = v1 | (v2 or set())
    for controller, state in CONTROLLERS.items():
        if controller in there:
            yield Finding(f"cgroup {controller}", "OK", "v1" if controller in v1 else "v2")
        else:
            yield Finding(f"cgroup {controller}", state, f"{controller} requests and limits have no effect")


def _hierarchies() -> tuple[set[str], set[str] | None]:
    """Controllers mounted as v1, and those of the v2 tree (None if it is not mounted)."""
    v1: set[str] = set()
    v2: set[str] | None = None
    for line in _text("/proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.partition(" ")
        if kind == "cgroup":
            v1 |= set(options.split(" ")[-1].split(","))
        elif kind == "cgroup2":
            v2 = set(_text(f"{before.split()[4]}/cgroup.controllers").split())
    return v1, v2


def _overlay() -> Finding:
    known = any(line.split()[-1:] == ["overlay"] for line in _text("/proc/filesystems").splitlines())
    if known:
        return Finding("overlay", "OK", "images are mounted, not copied")
    return Finding(
        "overlay", "MISSING", "container filesystems cannot be mounted", "modprobe overlay, or a kernel that has it"
    )


def _seccomp() -> Finding:
    if _text("/proc/sys/kernel/seccomp/actions_avail"):
        return Finding("seccomp", "OK", "system call filters")
    return Finding("seccomp", "LIMITED", "containers may use every system call", "a kernel with CONFIG_SECCOMP_FILTER")


def _text(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
