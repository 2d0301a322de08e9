"""Processes by pid: who they are, whether they still run, how they are told to end.

A pid alone may meanwhile belong to somebody else, so pid files also hold the
process's start time, and nothing is signalled whose start time differs.
"""

import os
import select
import signal
import subprocess
import time
import zlib
from pathlib import Path
from typing import NamedTuple

#: What Linux has and other systems have not.
HAS_PROC = Path("/proc/self/stat").exists()
HAS_PIDFD = hasattr(os, "pidfd_open")
POLL_SECONDS = 0.05


class ProcessId(NamedTuple):
    """A process that cannot be mistaken for a later one with the same pid."""

    pid: int
    #: Clock ticks after boot, field 22 of /proc/PID/stat; where there is no /proc, what tells its start from others.
    start_time: int


def find_process(pid: int) -> ProcessId | None:
    """The process that has ``pid`` now; None if there is none, or only a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None if HAS_PROC else _find_by_ps(pid)
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else ProcessId(pid, int(fields[19]))


def _find_by_ps(pid: int) -> ProcessId | None:
    """The same on systems without /proc, such as macOS. Source: POSIX ps; ``lstart`` is of the BSDs."""
    told = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.split()
    return None if not told or told[0][0] in "ZX" else ProcessId(pid, zlib.crc32(" ".join(told[1:]).encode()))


def write_pid_file(path: Path, pid: int) -> None:
    if process := find_process(pid):
        partial = path.with_suffix(".partial")
        partial.write_text(f"{process.pid} {process.start_time}\n")
        os.replace(partial, path)


def read_pid_file(path: Path) -> ProcessId | None:
    """The process that a pid file names, if it still runs."""
    try:
        pid, start_time = map(int, path.read_text().split())
    except (FileNotFoundError, ValueError):
        return None
    named = ProcessId(pid, start_time)
    return named if find_process(pid) == named else None


def wait_gone(process: ProcessId, seconds: float) -> bool:
    """Wait until the process has ended; False if it has not within ``seconds``."""
    if not HAS_PIDFD:
        return _poll_gone(process, seconds)
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return True
    try:
        if find_process(process.pid) != process:
            return True
        return bool(select.select([handle], [], [], seconds)[0])
    finally:
        os.close(handle)


def _poll_gone(process: ProcessId, seconds: float) -> bool:
    late = time.monotonic() + seconds
    while find_process(process.pid) == process:
        if time.monotonic() >= late:
            return False
        time.sleep(POLL_SECONDS)
    return True


def end(process: ProcessId, grace_seconds: float) -> None:
    """Ask the process to end, and make it end when it has not within ``grace_seconds``."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        if find_process(process.pid) != process:
            return
        os.kill(process.pid, how)
        if wait_gone(process, grace_seconds):
            return


def exit_reason(status: int) -> str:
    """A wait status in words."""
    if os.WIFSIGNALED(status):
        return f"killed by {signal.Signals(os.WTERMSIG(status)).name}"
    return f"exit code {os.WEXITSTATUS(status)}"
