"""The supervisor: one single-threaded process that forks the components and brings them back.

It waits in one ``select`` for children that end (pidfds; where the system has
none, the end of their reports), their reports, its socket's clients, signals and
the end of a pause. It has no event loop of its own, because children are forked
from it and would inherit one half alive.

Clients send one JSON line, ``{"command": "status" | "watch" | "stop"}``, and get
states as JSON lines: one, one for each change, or one for each change until all
has stopped.
"""

import importlib
import json
import logging
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from tiphys.cli.cluster import Cluster, ClusterConfig
from tiphys.cli.supervisor import child, process
from tiphys.cli.supervisor.plan import Component, Instruction, Plan, Start, Stop

logger = logging.getLogger(__name__)
STOP_SECONDS = 10.0
REQUEST_BYTES_MAX = 4096


@dataclass(frozen=True)
class Row:
    """One component: what it waits for, the modules to import before forking, and the function that runs it.

    ``run`` is named as ``module:function`` and found after ``modules`` are
    imported. ``adopt`` is set for a process that outlives the supervisor: it
    starts the process, or finds the one that runs, and returns its pid.
    """

    name: str
    after: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    run: str = ""
    adopt: Callable[[Cluster, ClusterConfig], int] | None = None


@dataclass
class _Process:
    name: str
    pid: int
    #: None where the system has none: the end of ``reports`` then tells the process's.
    pidfd: int | None
    reports: int | None
    ours: bool
    error: str = ""
    unread: bytes = b""


class Supervisor:
    """Runs until all is stopped; see the module."""

    def __init__(self, cluster: Cluster, config: ClusterConfig, rows: Mapping[str, Row]) -> None:
        self._cluster = cluster
        self._config = config
        self._rows = rows
        self._plan = Plan({row.name: Component(row.name, row.after) for row in rows.values()})
        self._selector = selectors.DefaultSelector()
        self._processes: dict[str, _Process] = {}
        self._watchers: set[socket.socket] = set()
        self._kill_at: dict[str, float] = {}
        # The write end stays open here and nowhere else: its end tells the children that we are gone.
        self._lifeline, self._lifeline_writer = os.pipe()
        self._server = socket.socket(socket.AF_UNIX)
        self._since = time.monotonic()

    def run(self) -> None:
        """Start everything, keep it running, return once it has been stopped. Call ``listen`` before."""
        server = self._server
        wake_read, wake_write = socket.socketpair()
        wake_read.setblocking(False)
        wake_write.setblocking(False)
        signal.set_wakeup_fd(wake_write.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        self._selector.register(server, selectors.EVENT_READ, lambda: self._accept(server))
        self._selector.register(wake_read, selectors.EVENT_READ, lambda: self._signalled(wake_read))
        self._inherited = [server.fileno(), wake_read.fileno(), wake_write.fileno(), self._lifeline_writer]
        self._carry_out(self._plan.begin(time.monotonic()))
        self._preload()
        while not (self._plan.stopping and self._plan.stopped):
            for key, _ in self._selector.select(self._timeout()):
                key.data()
            self._carry_out(self._plan.tick(time.monotonic()))
            self._kill_late()
        for watcher in list(self._watchers):
            self._hang_up(watcher)
        self._cluster.supervisor_socket.unlink(missing_ok=True)
        self._cluster.pid_file("supervisor").unlink(missing_ok=True)

    def listen(self) -> None:
        """Open the socket: from now on clients can connect, and are answered once ``run`` runs."""
        path = self._cluster.supervisor_socket
        path.unlink(missing_ok=True)
        mask = os.umask(0o177)
        try:
            self._server.bind(str(path))
        finally:
            os.umask(mask)
        self._server.listen(16)
        self._server.setblocking(False)

    def _preload(self) -> None:
        """Import what later children need while the first ones start."""
        for row in self._rows.values():
            for module in row.modules:
                importlib.import_module(module)

    def _timeout(self) -> float | None:
        times = [t for t in (self._plan.next_tick(), min(self._kill_at.values(), default=None)) if t is not None]
        return max(0.0, min(times) - time.monotonic()) if times else None

    # Instructions

    def _carry_out(self, instructions: list[Instruction]) -> None:
        for instruction in instructions:
            match instruction:
                case Start(name):
                    self._start(self._rows[name])
                case Stop(name, pid):
                    self._kill_at[name] = time.monotonic() + STOP_SECONDS
                    self._signal(pid, signal.SIGTERM)
        if instructions:
            self._tell_watchers()

    def _start(self, row: Row) -> None:
        now = time.monotonic()
        if row.adopt is not None:
            self._start_adopted(row, row.adopt, now)
            return
        for module in row.modules:
            importlib.import_module(module)
        module, _, function = row.run.partition(":")
        run: child.Run = getattr(importlib.import_module(module), function)
        made = child.fork(row.name, run, self._cluster, self._config, self._lifeline, self._not_for_children())
        os.set_blocking(made.reports, False)
        self._processes[row.name] = entry = _Process(row.name, made.pid, _pidfd(made.pid), made.reports, True)
        self._selector.register(made.reports, selectors.EVENT_READ, lambda: self._read_reports(entry))
        self._watch_end(entry)
        self._plan.started(row.name, made.pid, now)
        process.write_pid_file(self._cluster.pid_file(row.name), made.pid)

    def _start_adopted(self, row: Row, adopt: Callable[[Cluster, ClusterConfig], int], now: float) -> None:
        pid = adopt(self._cluster, self._config)
        self._processes[row.name] = entry = _Process(row.name, pid, _pidfd(pid), None, False)
        self._watch_end(entry)
        self._plan.started(row.name, pid, now)
        process.write_pid_file(self._cluster.pid_file(row.name), pid)
        self._carry_out(self._plan.reported_ready(row.name, now))

    def _not_for_children(self) -> list[int]:
        descriptors = [*self._inherited, *(watcher.fileno() for watcher in self._watchers)]
        for entry in self._processes.values():
            if entry.pidfd is not None:
                descriptors.append(entry.pidfd)
            if entry.reports is not None:
                descriptors.append(entry.reports)
        # Other systems' selectors have no descriptor, or one that a fork does not inherit.
        if isinstance(self._selector, getattr(selectors, "EpollSelector", ())):
            descriptors.append(self._selector.fileno())
        return descriptors

    def _watch_end(self, entry: _Process) -> None:
        if entry.pidfd is not None:
            self._selector.register(entry.pidfd, selectors.EVENT_READ, lambda: self._ended(entry))

    def _forget_pidfd(self, entry: _Process) -> None:
        if entry.pidfd is not None:
            self._selector.unregister(entry.pidfd)
            os.close(entry.pidfd)

    def _signal(self, pid: int, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, number)

    def _kill_late(self) -> None:
        """What has not ended in time after SIGTERM is made to."""
        now = time.monotonic()
        for name, late in list(self._kill_at.items()):
            if late <= now:
                del self._kill_at[name]
                if entry := self._processes.get(name):
                    logger.warning("%s did not end within %.0f s and is killed", name, STOP_SECONDS)
                    self._signal(entry.pid, signal.SIGKILL)

    # Events

    def _read_reports(self, entry: _Process) -> None:
        assert entry.reports is not None
        try:
            data = os.read(entry.reports, 65536)
        except BlockingIOError:
            return
        if not data:
            self._selector.unregister(entry.reports)
            os.close(entry.reports)
            entry.reports = None
            if entry.pidfd is None:
                self._ended(entry)
            return
        *lines, entry.unread = (entry.unread + data).split(b"\n")
        for line in lines:
            report = json.loads(line)
            entry.error = report.get("error", entry.error)
            if report.get("ready"):
                logger.info("%s is ready", entry.name)
                self._carry_out(self._plan.reported_ready(entry.name, time.monotonic()))
                self._tell_watchers()

    def _ended(self, entry: _Process) -> None:
        if entry.reports is not None:
            self._read_reports(entry)
        reason = process.exit_reason(os.waitpid(entry.pid, 0)[1]) if entry.ours else "ended"
        reason = f"{reason}: {entry.error}" if entry.error else reason
        self._forget_pidfd(entry)
        if entry.reports is not None:
            self._selector.unregister(entry.reports)
            os.close(entry.reports)
        self._processes.pop(entry.name, None)
        self._kill_at.pop(entry.name, None)
        self._cluster.pid_file(entry.name).unlink(missing_ok=True)
        if not self._plan.stopping:
            logger.warning("%s (pid %d) ended: %s", entry.name, entry.pid, reason)
        self._carry_out(self._plan.ended(entry.name, reason, time.monotonic()))
        self._tell_watchers()

    def _signalled(self, wake: socket.socket) -> None:
        wake.recv(4096)
        self._stop()

    def _stop(self) -> None:
        # What was adopted outlives us on purpose: containers go on without a control plane.
        for name, row in self._rows.items():
            entry = self._processes.get(name)
            if row.adopt is not None and entry is not None:
                self._forget_pidfd(entry)
                del self._processes[name]
                self._plan.components[name].pid = None
        self._carry_out(self._plan.stop())

    # Clients

    def _accept(self, server: socket.socket) -> None:
        client, _ = server.accept()
        client.settimeout(1.0)
        try:
            request = json.loads(client.makefile("rb").readline(REQUEST_BYTES_MAX))
        except (OSError, ValueError):
            client.close()
            return
        command = request.get("command") if isinstance(request, dict) else None
        if command == "stop":
            self._stop()
        if self._send(client, self.status()) and command in ("watch", "stop"):
            self._watchers.add(client)
            self._selector.register(client, selectors.EVENT_READ, lambda: self._hang_up(client))
        else:
            client.close()

    def _send(self, client: socket.socket, status: dict[str, object]) -> bool:
        try:
            client.sendall(json.dumps(status).encode() + b"\n")
        except OSError:
            return False
        return True

    def _tell_watchers(self) -> None:
        for watcher in list(self._watchers):
            if not self._send(watcher, self.status()):
                self._hang_up(watcher)

    def _hang_up(self, client: socket.socket) -> None:
        self._watchers.discard(client)
        self._selector.unregister(client)
        client.close()

    def status(self) -> dict[str, object]:
        """What ``tiphys status`` prints: readiness, and each component with its process."""
        now = time.monotonic()
        itself = Component("supervisor", state="ready", pid=os.getpid(), started_at=self._since)
        components = [_described(component, now) for component in (itself, *self._plan.components.values())]
        return {"ready": self._plan.ready, "name": self._cluster.name, "components": components}


def _pidfd(pid: int) -> int | None:
    return os.pidfd_open(pid) if process.HAS_PIDFD else None


def _described(component: Component, now: float) -> dict[str, object]:
    return {
        "name": component.name,
        "pid": component.pid,
        "state": component.state,
        "restarts": component.restarts,
        "uptimeSeconds": round(now - component.started_at, 1) if component.pid else 0,
        "message": component.last_error,
    }
