"""What the spawner starts: sandboxes' namespaces, containers and commands within them.

Starting forks a child that reports over a socket pair: a failed step as JSON, a
terminal's master as a descriptor, and success by executing, which closes it.
The parent never waits for a child; it is told by its selector.
"""

import json
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tiphys.runtime.linux import syscalls
from tiphys.runtime.linux.syscalls import CLONE_NEWNS, CLONE_NEWPID
from tiphys.runtime.spawner import sandbox, setup
from tiphys.runtime.spawner.logs import LogFile, Stream
from tiphys.runtime.spawner.steps import StepError, step

Spec = dict[str, Any]
REPORT_BYTES_MAX = 64 * 1024


@dataclass
class Process:
    """One started program. ``exit_code`` is set once it has ended: 128 plus the number for a signal."""

    id: str
    pid: int
    started_at: int
    report: socket.socket
    log: LogFile | None = None
    streams: list[Stream] = field(default_factory=list)
    #: Where a container's input goes, or its terminal's master; None if it has none.
    input: int | None = None
    terminal: bool = False
    exit_code: int | None = None
    finished_at: int = 0
    #: Descriptors for the runtime, sent with the answer: standard streams of a command.
    handed: list[int] = field(default_factory=list)
    started: bool = False

    def describe(self) -> Spec:
        return {
            "id": self.id,
            "pid": self.pid,
            "started_at": self.started_at,
            "exit_code": self.exit_code,
            "finished_at": self.finished_at,
            "log_error": self.log.error if self.log else "",
        }

    def close(self) -> None:
        for stream in self.streams:
            stream.close()
        self.streams.clear()
        if self.input is not None:
            with suppress(OSError):
                os.close(self.input)
            self.input = None
        if self.log is not None:
            self.log.close()
            self.log = None


def _fork_into(pid_namespace: str | None, new_pid_namespace: bool) -> int:
    """Fork a child that is in (or, the first one, makes) a PID namespace; we stay in ours.

    The kernel gives the namespace to children only, so we change what our
    children get, fork, and change it back.
    """
    if not new_pid_namespace and pid_namespace is None:
        return os.fork()
    own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    try:
        with step("enter process namespace"):
            if new_pid_namespace:
                syscalls.unshare(CLONE_NEWPID)
            else:
                assert pid_namespace is not None
                descriptor = os.open(pid_namespace, os.O_RDONLY | os.O_CLOEXEC)
                syscalls.setns(descriptor, CLONE_NEWPID)
                os.close(descriptor)
        pid = os.fork()
        if pid:
            syscalls.setns(own, CLONE_NEWPID)
        return pid
    finally:
        os.close(own)


class _Pipes:
    """Standard streams of a child: its ends and ours."""

    def __init__(self, wants_input: bool) -> None:
        self.input = os.pipe() if wants_input else (os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), -1)
        self.output = os.pipe()
        self.error = os.pipe()

    def become_standard(self) -> None:
        """In the child. Our ends go when it executes."""
        for target, source in enumerate((self.input[0], self.output[1], self.error[1])):
            os.dup2(source, target)

    def close_child_ends(self) -> None:
        for descriptor in (self.input[0], self.output[1], self.error[1]):
            os.close(descriptor)

    def close_all(self) -> None:
        for descriptor in (*self.input, *self.output, *self.error):
            if descriptor >= 0:
                os.close(descriptor)


def _run_child(report: socket.socket, work: Callable[[], None]) -> None:
    """The child's life until it executes; never returns."""
    try:
        # A child that is half set up when the spawner is killed would wait for ever for an answer.
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
        setup.reset_signals()
        work()
    except StepError as error:
        report.send(error.encode())
    except BaseException as error:
        report.send(StepError("setup", f"setup: {type(error).__name__}: {error}").encode())
    finally:
        os._exit(127)


def start_container(spec: Spec) -> Process:
    """Fork the first process of a container."""
    process: Spec = spec["process"]
    terminal = bool(process["terminal"])
    filter_program = _read_filter(process["filter"])
    log = LogFile(spec["log"])
    pipes = None if terminal else _Pipes(process["stdin"])
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def work() -> None:
        os.setsid()
        if pipes is not None:
            pipes.become_standard()
        setup.join_cgroups(spec["cgroups"])
        setup.join_namespaces(spec["namespaces"])
        setup.build_root(spec)
        if terminal:
            master = setup.open_terminal()
            socket.send_fds(theirs, [b"terminal"], [master])
        setup.outlive_parent()
        setup.execute(process, filter_program)

    try:
        pid = _fork_into(spec["pid_namespace"], spec["new_pid_namespace"])
    except StepError:
        log.close()
        if pipes is not None:
            pipes.close_all()
        raise
    if not pid:
        _run_child(theirs, work)
    theirs.close()
    made = Process(spec["id"], pid, time.time_ns(), ours, log=log, terminal=terminal)
    if pipes is not None:
        pipes.close_child_ends()
        made.streams = [Stream("stdout", pipes.output[0], log), Stream("stderr", pipes.error[0], log)]
        made.input = pipes.input[1] if pipes.input[1] >= 0 else None
    return made


def start_command(spec: Spec) -> Process:
    """Fork a command into a running container. Its streams are handed to the runtime, not kept."""
    process: Spec = spec["process"]
    terminal = bool(process["terminal"])
    filter_program = _read_filter(process["filter"])
    target = spec["pid"]
    pipes = None if terminal else _Pipes(process["stdin"])
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def work() -> None:
        os.setsid()
        if pipes is not None:
            pipes.become_standard()
        setup.join_cgroups(spec["cgroups"])
        _enter(namespaces)
        if terminal:
            master = setup.open_terminal()
            socket.send_fds(theirs, [b"terminal"], [master])
        setup.execute(process, filter_program)

    try:
        with step("enter container"):
            namespaces = _open_namespaces(target)
        pid = _fork_into(f"/proc/{target}/ns/pid", False)
    except StepError:
        if pipes is not None:
            pipes.close_all()
        raise
    if not pid:
        _run_child(theirs, work)
    theirs.close()
    for descriptor, _ in namespaces:
        os.close(descriptor)
    made = Process(spec["id"], pid, time.time_ns(), ours, terminal=terminal)
    if pipes is not None:
        pipes.close_child_ends()
        made.handed = [pipes.output[0], pipes.error[0], *([pipes.input[1]] if pipes.input[1] >= 0 else [])]
    return made


def _open_namespaces(pid: int) -> list[tuple[int, int]]:
    """All namespaces of a process but its PID one, opened before any is entered; mounts come last."""
    kinds = {**setup.NAMESPACE_KINDS, "cgroup": syscalls.CLONE_NEWCGROUP, "mnt": CLONE_NEWNS}
    return [(os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC), kind) for name, kind in kinds.items()]


def _enter(namespaces: Sequence[tuple[int, int]]) -> None:
    with step("enter container"):
        for descriptor, kind in namespaces:
            syscalls.setns(descriptor, kind)
        os.chdir("/")


def _read_filter(path: str) -> bytes:
    if not path:
        return b""
    with step("read filter"), open(path, "rb") as file:
        return file.read()


def start_sandbox(spec: Spec) -> Process:
    """Fork the child that makes a sandbox's namespaces; with ``init`` it stays as their first process."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = _fork_into(None, spec["init"])
    if not pid:
        _run_child(theirs, lambda: sandbox.live(spec, theirs))
    theirs.close()
    return Process(spec["id"], pid, time.time_ns(), ours)


def read_report(process: Process) -> tuple[str, list[int], Spec | None]:
    """What a child said: ``("", [], None)`` when it has executed, else the word, descriptors and the failure."""
    data, descriptors, _, _ = socket.recv_fds(process.report, REPORT_BYTES_MAX, 1)
    if data.startswith(b"{"):
        return "error", descriptors, json.loads(data)["error"]
    return data.decode(), list(descriptors), None


def end_code(status: int) -> int:
    """A wait status as containers report it."""
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def send_signal(process: Process, number: int) -> None:
    if process.exit_code is None:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.Signals(number))
