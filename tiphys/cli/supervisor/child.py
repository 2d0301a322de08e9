"""One component in a process of its own: forked from the supervisor's image, running one event loop.

The child reports over a pipe, one JSON line each: ``{"ready": true}`` once the
component serves, ``{"error": "..."}`` before it ends because of a failure. It
ends when it is told to (SIGTERM) and when the supervisor is gone, which shows as
the end of a pipe that only the supervisor holds open.
"""

import asyncio
import gc
import json
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager, suppress
from typing import NoReturn, Protocol

import uvloop

from tiphys.cli.cluster import Cluster, ClusterConfig

logger = logging.getLogger(__name__)


class Running(Protocol):
    """A component that serves."""

    async def wait(self) -> None:
        """Raise when the component has failed; never return."""


Run = Callable[[Cluster, ClusterConfig], AbstractAsyncContextManager[Running]]


def fork(name: str, run: Run, cluster: Cluster, config: ClusterConfig, lifeline: int, close: Iterable[int]) -> "Child":
    """Start ``run`` in a child. ``close`` are descriptors of the supervisor that the child must not hold."""
    reports, report_to = os.pipe()
    # Objects of the common image are not touched by the child's collections, so its pages stay shared.
    gc.collect()
    gc.freeze()
    pid = os.fork()
    if not pid:
        for descriptor in (reports, *close):
            os.close(descriptor)
        _live(name, run, cluster, config, lifeline, report_to)
    os.close(report_to)
    return Child(pid, reports)


class Child:
    """The supervisor's view: a pid and the pipe that reports come from."""

    def __init__(self, pid: int, reports: int) -> None:
        self.pid = pid
        self.reports = reports


def _live(name: str, run: Run, cluster: Cluster, config: ClusterConfig, lifeline: int, report_to: int) -> NoReturn:
    """The child's whole life; never returns into the supervisor's code."""
    code = 1
    try:
        _settle_in(name, cluster)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(run, cluster, config, lifeline, report_to))
        code = 0
    except BaseException as error:
        traceback.print_exc()
        _report(report_to, {"error": f"{type(error).__name__}: {error}"[:2000]})
    finally:
        leave(code)


def leave(code: int) -> NoReturn:
    """End a forked process: the exit handlers it inherited are not its to run, so this is not ``sys.exit``."""
    logging.shutdown()
    sys.stderr.flush()
    os._exit(code)


def _settle_in(name: str, cluster: Cluster) -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    redirect_output(cluster, name)
    set_process_name(name)


def redirect_output(cluster: Cluster, name: str) -> None:
    """Standard output and error, and with them the log, go to the component's log file."""
    log = os.open(cluster.log_file(name), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(log)
    os.close(null)
    # Whoever forked us may have replaced the objects; the descriptors are what was redirected.
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname).1s %(name)s: %(message)s", stream=sys.stderr, force=True
    )


def set_process_name(name: str) -> None:
    """What ``ps -o comm`` and ``top`` show; the kernel keeps 15 characters. Linux alone has it."""
    with suppress(FileNotFoundError), open("/proc/self/comm", "r+") as comm:
        comm.write(f"tiphys-{name}"[:15])


def _report(report_to: int, message: dict[str, object]) -> None:
    try:
        os.write(report_to, json.dumps(message).encode() + b"\n")
    except BrokenPipeError:
        logger.warning("the supervisor is gone and does not hear: %s", message)


async def _serve(run: Run, cluster: Cluster, config: ClusterConfig, lifeline: int, report_to: int) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_reader(lifeline, stop.set)
    async with run(cluster, config) as component:
        _report(report_to, {"ready": True})
        failing = asyncio.ensure_future(component.wait())
        stopping = asyncio.ensure_future(stop.wait())
        await asyncio.wait((failing, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if failing.done():
            failing.result()
        failing.cancel()
    loop.remove_reader(lifeline)
