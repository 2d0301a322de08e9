"""A sandbox's namespaces: made by a child, held by bind mounts, so that no process has to stay.

Where containers share a PID namespace the child stays as its first process and
does what init does: it collects the dead.
"""

import fcntl
import os
import signal
import socket
import struct
from contextlib import suppress
from typing import Any, NoReturn

from tiphys.runtime.linux import syscalls
from tiphys.runtime.spawner import setup
from tiphys.runtime.spawner.steps import step

Spec = dict[str, Any]
SIOCGIFFLAGS = 0x8913
SIOCSIFFLAGS = 0x8914
IFF_UP = 1


def live(spec: Spec, report: socket.socket) -> NoReturn:
    """In the child: make the namespaces, say so, wait until they are pinned."""
    os.setsid()
    setup.join_cgroups(spec["cgroups"])
    kinds = spec["namespaces"]
    with step("unshare"):
        flags = 0
        for kind in kinds:
            flags |= setup.NAMESPACE_KINDS[kind]
        if flags:
            syscalls.unshare(flags)
    if "uts" in kinds:
        with step("set host name"):
            socket.sethostname(spec["hostname"])
    if "net" in kinds:
        with step("set loopback up"):
            loopback_up()
    with step("set sysctl"):
        for name, value in spec["sysctls"].items():
            with open(f"/proc/sys/{name.replace('.', '/')}", "w") as file:
                file.write(value)
    report.send(b"made")
    report.recv(16)
    if spec["init"]:
        setup.outlive_parent()
        report.close()
        _let_go()
        collect_the_dead()
    os._exit(0)


def _let_go() -> None:
    """Hold none of the spawner's descriptors: its sockets and other containers' pipes could never end."""
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    syscalls.close_range(3, flags=0)


def loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack_from("16sh", fcntl.ioctl(control, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))


def collect_the_dead() -> NoReturn:
    """Be the first process of a PID namespace: it ends when it is told to, and with it all others."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    while True:
        signal.sigwait([signal.SIGCHLD, signal.SIGTERM])
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def pin(pid: int, pins: dict[str, str]) -> None:
    """Hold the namespaces of ``pid`` by bind mounts at the given paths."""
    with step("pin namespaces"):
        for kind, path in pins.items():
            os.makedirs(os.path.dirname(path), exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_RDONLY | os.O_CLOEXEC, 0o600))
            syscalls.mount(f"/proc/{pid}/ns/{kind}", path, None, syscalls.MS_BIND)


def mount_shared_memory(path: str, size_bytes: int) -> None:
    """The ``/dev/shm`` that all containers of a sandbox share."""
    with step("mount shared memory"):
        os.makedirs(path, mode=0o700, exist_ok=True)
        flags = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
        syscalls.mount("shm", path, "tmpfs", flags, f"mode=1777,size={size_bytes}")


def unpin(paths: list[str]) -> None:
    """Let namespaces and shared memory go; repeating it is fine."""
    for path in paths:
        with suppress(OSError):
            # Once for each mount that is stacked here; EINVAL says that none is left.
            while True:
                syscalls.umount2(path, syscalls.MNT_DETACH)
        if os.path.isdir(path):
            os.rmdir(path)
        else:
            with suppress(FileNotFoundError):
                os.unlink(path)
