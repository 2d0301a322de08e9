"""A container's inside, made by the child that becomes its first process.

The order is what the kernel needs: namespaces before mounts; copies of bind
sources before the root changes, since they are out of reach afterwards; mounts
after it, so that symbolic links in the image resolve within the image; masks
before privileges go; the filter last, because it may forbid all that came before.
"""

import errno
import fcntl
import os
import resource
import signal
import stat
import struct
import termios
from collections.abc import Sequence
from typing import Any, NoReturn

from tiphys.runtime.linux import syscalls
from tiphys.runtime.linux.syscalls import (
    CLONE_NEWCGROUP,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWUTS,
    MS_RDONLY,
)
from tiphys.runtime.spawner.steps import StepError, step

Spec = dict[str, Any]

NAMESPACE_KINDS = {"net": CLONE_NEWNET, "ipc": CLONE_NEWIPC, "uts": CLONE_NEWUTS}
DEVICES = {
    "null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0),
}  # fmt: skip
LINKS = {"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"}
# Python's termios does not name these.
TIOCSPTLCK = 0x40045431
TIOCGPTN = 0x80045430
UNBLOCKABLE = {signal.SIGKILL, signal.SIGSTOP}


def outlive_parent() -> None:
    """From now on the child goes on when the spawner is killed."""
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, 0)


def reset_signals() -> None:
    """What the spawner handles or ignores is the default again in a container."""
    for number in signal.valid_signals() - UNBLOCKABLE:
        try:
            signal.signal(number, signal.SIG_DFL)
        except OSError:
            continue  # Real-time signals that the C library keeps to itself.
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def join_cgroups(folders: Sequence[str]) -> None:
    with step("join cgroup"):
        for folder in folders:
            with open(f"{folder}/cgroup.procs", "w") as procs:
                procs.write("0")


def join_namespaces(paths: dict[str, str]) -> None:
    with step("join namespaces"):
        for kind, path in paths.items():
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            syscalls.setns(descriptor, NAMESPACE_KINDS[kind])
            os.close(descriptor)


def build_root(spec: Spec) -> None:
    """Everything about file systems. Afterwards ``/`` is the container's."""
    with step("unshare"):
        syscalls.unshare(CLONE_NEWNS | (CLONE_NEWCGROUP if spec["private_cgroup"] else 0))
    # Before ties to the host's mounts are cut: a volume may want to keep them.
    sources = _clone_sources(spec["mounts"])
    with step("isolate mounts"):
        syscalls.mount_setattr("/", recursive=True, propagation=syscalls.MS_SLAVE)
    # After it: these mounts are made anew, and the host must not see them.
    sources = [
        _mount_image(entry) if "lower" in entry else source
        for entry, source in zip(spec["mounts"], sources, strict=True)
    ]
    _mount_root(spec["root"])
    with step("pivot root"):
        syscalls.pivot_root(".", ".")
        # Old and new root are now stacked on the same place; the old one is on top and goes.
        syscalls.umount2(".", syscalls.MNT_DETACH)
        os.chdir("/")
    for entry, descriptor in zip(spec["mounts"], sources, strict=True):
        _mount(entry, descriptor)
    _make_devices(spec["devices"])
    with step("mask paths"):
        for path in spec["masked"]:
            _mask(path)
        for path in spec["read_only"]:
            _make_read_only(path)
    if spec["root"]["read_only"]:
        with step("make root read-only"):
            syscalls.mount_setattr("/", recursive=False, attributes=syscalls.MOUNT_ATTR_RDONLY)


def _clone_sources(mounts: Sequence[Spec]) -> list[int | None]:
    """A detached copy of each bind mount's source, taken while the host is in sight."""
    copies: list[int | None] = []
    for entry in mounts:
        if entry["type"] != "bind" or "lower" in entry:
            copies.append(None)
            continue
        with step("open volume"):
            copies.append(syscalls.open_tree(entry["source"], entry["recursive"]))
    return copies


def _mount_image(entry: Spec) -> int:
    """A detached copy of an image's files, or of a part of them."""
    with step("mount image"):
        place = entry["source"]
        if len(entry["lower"]) == 1:
            # Overlayfs wants two layers where none is writable.
            syscalls.mount(os.path.join(entry["layers"], entry["lower"][0]), place, None, syscalls.MS_BIND)
        else:
            os.chdir(entry["layers"])
            syscalls.mount("overlay", place, "overlay", MS_RDONLY, f"lowerdir={':'.join(entry['lower'])}")
        part = os.path.realpath(os.path.join(place, entry["sub_path"]))
        if os.path.commonpath((part, os.path.realpath(place))) != os.path.realpath(place):
            raise OSError(errno.EXDEV, "the sub path leads out of the image", entry["sub_path"])
        return syscalls.open_tree(part, recursive=False)


def _mount_root(root: Spec) -> None:
    """Mount the image's layers with a writable one on top, and enter it."""
    with step("mount root"):
        target = root["path"]
        if root["lower"]:
            # Relative to the folder of layers, because the kernel takes one page of options at most.
            os.chdir(root["layers"])
            options = f"lowerdir={':'.join(root['lower'])},upperdir={root['upper']},workdir={root['work']}"
            syscalls.mount("overlay", target, "overlay", 0, options)
        else:
            syscalls.mount(target, target, None, syscalls.MS_BIND | syscalls.MS_REC)
        os.chdir(target)
        for overlay in root["overlays"]:
            options = f"lowerdir={overlay['lower']},upperdir={overlay['upper']},workdir={overlay['work']}"
            syscalls.mount("overlay", overlay["target"], "overlay", 0, options)


def _mount(entry: Spec, copy: int | None) -> None:
    with step("mount volume" if copy is not None else f"mount {entry['type']}"):
        # An image may have a link there whose target it lacks, such as /var/run.
        target = os.path.realpath(entry["target"])
        if copy is None:
            os.makedirs(target, exist_ok=True)
            syscalls.mount(entry["source"], target, entry["type"], entry["flags"], entry["data"])
            return
        _make_mount_point(target, copy)
        syscalls.move_mount(copy, target)
        os.close(copy)
        if entry["propagation"] != syscalls.MS_SHARED:
            syscalls.mount_setattr(target, recursive=True, propagation=entry["propagation"])
        if entry["read_only"]:
            syscalls.mount_setattr(
                target, recursive=entry["recursive_read_only"], attributes=syscalls.MOUNT_ATTR_RDONLY
            )


def _make_mount_point(target: str, source: int) -> None:
    """A folder for a folder, an empty file for a file."""
    if os.path.lexists(target):
        return
    if stat.S_ISDIR(os.fstat(source).st_mode):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))


def _make_devices(devices: Sequence[Spec]) -> None:
    """``/dev`` as every container has it, and what was asked for besides."""
    with step("make devices"):
        os.umask(0)
        for name, (major, minor) in DEVICES.items():
            os.mknod(f"/dev/{name}", 0o666 | stat.S_IFCHR, os.makedev(major, minor))
        for name, target in LINKS.items():
            os.symlink(target, f"/dev/{name}")
        os.symlink("pts/ptmx", "/dev/ptmx")
        for device in devices:
            path, kind = device["path"], stat.S_IFBLK if device["type"] == "b" else stat.S_IFCHR
            if not os.path.lexists(path):
                os.makedirs(os.path.dirname(path), exist_ok=True)
                os.mknod(path, device["mode"] | kind, os.makedev(device["major"], device["minor"]))
                os.chown(path, device["uid"], device["gid"])
        os.umask(0o022)


def _mask(path: str) -> None:
    if os.path.isdir(path):
        syscalls.mount("tmpfs", path, "tmpfs", MS_RDONLY, "size=0k")
    elif os.path.exists(path):
        syscalls.mount("/dev/null", path, None, syscalls.MS_BIND)


def _make_read_only(path: str) -> None:
    if os.path.exists(path):
        syscalls.mount(path, path, None, syscalls.MS_BIND | syscalls.MS_REC)
        syscalls.mount_setattr(path, recursive=True, attributes=syscalls.MOUNT_ATTR_RDONLY)


def open_terminal() -> int:
    """Make the container's own pseudo-terminal our standard streams; returns its master."""
    with step("open terminal"):
        master = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        fcntl.ioctl(master, TIOCSPTLCK, struct.pack("i", 0))
        number = struct.unpack("I", fcntl.ioctl(master, TIOCGPTN, bytes(4)))[0]
        slave = os.open(f"/dev/pts/{number}", os.O_RDWR)
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        for standard in (0, 1, 2):
            os.dup2(slave, standard)
        os.close(slave)
        return master


def _set_limits(limits: Sequence[Spec]) -> None:
    for limit in limits:
        hard = min(limit["hard"], resource.getrlimit(limit["kind"])[1]) if limit["hard"] >= 0 else limit["hard"]
        resource.setrlimit(limit["kind"], (limit["soft"], hard))


def drop_privileges(process: Spec, filter_program: bytes) -> None:
    """User, groups, capabilities and filter; afterwards the process can do what it should and no more.

    Where new privileges remain possible, the kernel takes a filter only from who
    is privileged, so it is set before privileges go; else it is set at the very end.
    """
    early = filter_program and not process["no_new_privileges"]
    with step("set limits"):
        _set_limits(process["limits"])
        if process["oom_score_adj"] is not None:
            _set_oom_score(process["oom_score_adj"])
    with step("set capabilities"):
        for capability in range(syscalls.LAST_CAPABILITY + 1):
            if not process["bounding"] >> capability & 1:
                syscalls.prctl(syscalls.PR_CAPBSET_DROP, capability)
        syscalls.prctl(syscalls.PR_SET_KEEPCAPS, 1)
    if early:
        with step("set filter"):
            syscalls.set_seccomp_filter(filter_program)
    with step("set user"):
        os.setgroups(process["groups"])
        os.setresgid(process["gid"], process["gid"], process["gid"])
        os.setresuid(process["uid"], process["uid"], process["uid"])
    with step("set capabilities"):
        held = process["bounding"] if process["uid"] == 0 else process["ambient"]
        syscalls.capset(held, process["bounding"] if process["uid"] == 0 else held, process["ambient"])
        for capability in range(syscalls.LAST_CAPABILITY + 1):
            if process["ambient"] >> capability & 1:
                syscalls.prctl(syscalls.PR_CAP_AMBIENT, syscalls.PR_CAP_AMBIENT_RAISE, capability)
    if process["no_new_privileges"]:
        with step("forbid new privileges"):
            syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)


def _set_oom_score(score: int) -> None:
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write(str(score))
    except PermissionError:
        # Without CAP_SYS_RESOURCE the score can only be raised; the container then runs with what it has.
        return


def find_program(name: str, environment: dict[str, str]) -> str:
    """The file to execute, as a shell would find it. Raises StepError in the words users know from others."""
    if "/" in name:
        _check_program(name, name)
        return name
    denied = False
    for folder in environment.get("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin").split(":"):
        candidate = os.path.join(folder or ".", name)
        if os.path.isfile(candidate):
            if os.access(candidate, os.X_OK):
                return candidate
            denied = True
    reason = "permission denied" if denied else "executable file not found in $PATH"
    raise StepError("exec", f'exec: "{name}": {reason}', 13 if denied else 2, name)


def _check_program(path: str, name: str) -> None:
    if not os.path.lexists(path):
        raise StepError("exec", f'exec: "{name}": stat {path}: no such file or directory', 2, path)
    if os.path.isdir(path):
        raise StepError("exec", f'exec: "{name}": is a directory', 21, path)
    if not os.access(path, os.X_OK):
        raise StepError("exec", f'exec: "{name}": permission denied', 13, path)


def execute(process: Spec, filter_program: bytes) -> NoReturn:
    """Become the program."""
    environment: dict[str, str] = process["env"]
    with step("change directory"):
        if not os.path.isdir(process["cwd"]) and process["make_cwd"]:
            os.makedirs(process["cwd"], exist_ok=True)
        os.chdir(process["cwd"])
    drop_privileges(process, filter_program)
    program = find_program(process["args"][0], environment)
    syscalls.close_range(3)
    if filter_program and process["no_new_privileges"]:
        with step("set filter"):
            syscalls.set_seccomp_filter(filter_program)
    try:
        os.execve(program, process["args"], environment)
    except OSError as error:
        name = process["args"][0]
        reason = (error.strerror or "").lower()
        raise StepError("exec", f'exec: "{name}": {reason}', error.errno or 0, program) from error
