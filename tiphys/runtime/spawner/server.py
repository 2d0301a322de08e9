"""The spawner's socket: requests in, answers and events out.

Messages are JSON in one packet each (``SOCK_SEQPACKET``), descriptors travel
beside them. A request ``{"n": 7, "op": "start", ...}`` is answered by
``{"n": 7, "ok": {...}}`` or ``{"n": 7, "error": {"step", "message", "errno",
"path"}}``, not necessarily in order. ``{"event": "exit", ...}`` goes to every
client. Any number of clients may come and go; what runs does not depend on them.
"""

import contextlib
import fcntl
import json
import os
import select
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from tiphys.runtime.linux import syscalls
from tiphys.runtime.spawner import processes, sandbox
from tiphys.runtime.spawner.logs import Stream
from tiphys.runtime.spawner.processes import Process
from tiphys.runtime.spawner.steps import StepError

Spec = dict[str, Any]
PACKET_BYTES_MAX = 4 * 1024 * 1024
PIPE_BYTES = 1024 * 1024
#: How often, and how long apart, to look whether another spawner listens already.
OTHER_TRIES, OTHER_SECONDS = 100, 0.01
SO_SNDBUFFORCE = 32
SEALED = "TIPHYS_SPAWNER_SEALED"


class Client:
    """One connection. Answers that its socket does not take at once mean it is stuck: it is cut off."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        connection.setblocking(False)
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, PACKET_BYTES_MAX)

    def send(self, message: Spec, descriptors: list[int] | None = None) -> bool:
        try:
            socket.send_fds(self.connection, [json.dumps(message).encode()], descriptors or [])
        except OSError:
            return False
        return True


class Server:
    """Runs until told to quit."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._selector = selectors.DefaultSelector()
        self._clients: set[Client] = set()
        self._processes: dict[str, Process] = {}
        self._by_pid: dict[int, Process] = {}
        self._waiting: dict[str, tuple[Client, int]] = {}
        #: What is to be forgotten once it has ended, and who waits for that.
        self._ending: dict[str, list[tuple[Client, int]]] = {}
        #: Commands by id: they serve whoever started them, and end with them.
        self._owners: dict[str, Client] = {}
        self._quit = False

    def run(self) -> None:
        lock = self._lock()
        if lock is None:
            return
        listener = self._listen()
        wake_read, wake_write = socket.socketpair()
        wake_read.setblocking(False)
        wake_write.setblocking(False)
        signal.set_wakeup_fd(wake_write.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
            signal.signal(number, signal.SIG_IGN)
        # Children hold our descriptors until they execute; nobody in a container may look at them meanwhile.
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
        # Orphans of containers without a PID namespace come to us and are collected.
        syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
        self._watch(listener, lambda: self._accept(listener))
        if len(sys.argv) > 2:
            # Whoever started us waits for the end of this descriptor.
            os.close(int(sys.argv[2]))
        self._watch(wake_read, lambda: self._collect(wake_read))
        while not self._quit:
            self._turn()
        os.unlink(self._path)
        os.close(lock)

    def _turn(self) -> None:
        """Act on all that can be read. What one action has let go of, others of the same turn must not touch: its
        descriptor is closed, or something else's by now."""
        for key, _ in self._selector.select():
            if self._selector.get_map().get(key.fd) is key:
                key.data()

    def _lock(self) -> int | None:
        """What says that this is the only spawner of its socket. None if there is one, once that one listens.

        Whoever started that one may have been killed before it wrote down whom it had started.
        """
        lock = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # Not flock, which children would go on holding.
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
                for _ in range(OTHER_TRIES):
                    if probe.connect_ex(self._path) == 0:
                        break
                    select.select([], [], [], OTHER_SECONDS)
            return None
        return lock

    def _listen(self) -> socket.socket:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        mask = os.umask(0o177)
        listener.bind(self._path)
        os.umask(mask)
        listener.listen(16)
        return listener

    def _watch(self, what: socket.socket | int, act: Callable[[], None]) -> None:
        self._selector.register(what, selectors.EVENT_READ, act)

    # Clients

    def _accept(self, listener: socket.socket) -> None:
        client = Client(listener.accept()[0])
        self._clients.add(client)
        self._watch(client.connection, lambda: self._read(client))

    def _read(self, client: Client) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(client.connection, PACKET_BYTES_MAX, 4)
        except BlockingIOError:
            return
        except OSError:
            data, descriptors = b"", []
        if not data:
            self._hang_up(client)
            return
        number = -1
        # Whoever serves the request takes from this list what it keeps.
        received = list(descriptors)
        try:
            request = json.loads(data)
            number = request["n"]
            answer = self._serve(client, request, received)
        except StepError as error:
            self._answer_error(client, number, error)
        except (KeyError, TypeError, ValueError, OSError) as error:
            # Containers depend on this process: whatever is wrong with a request ends with that request.
            refusal = StepError("request", f"request refused: {type(error).__name__}: {error}")
            self._answer_error(client, number, refusal)
        else:
            if answer is not None:
                self._send(client, {"n": number, "ok": answer})
        for descriptor in received:
            os.close(descriptor)

    def _answer_error(self, client: Client, number: int, error: StepError) -> None:
        self._send(client, {"n": number, **json.loads(error.encode())})

    def _send(self, client: Client, message: Spec, descriptors: list[int] | None = None) -> None:
        if not client.send(message, descriptors):
            self._hang_up(client)

    def _hang_up(self, client: Client) -> None:
        if client in self._clients:
            self._clients.discard(client)
            self._selector.unregister(client.connection)
            client.connection.close()
            for name in [name for name, owner in self._owners.items() if owner is client]:
                self._abandon(name)

    def _abandon(self, name: str) -> None:
        """Nobody is left who could read a command's output or ask for its exit code."""
        if (process := self._processes.get(name)) is None:
            return
        if process.exit_code is not None:
            self._forget(name)
            return
        self._ending.setdefault(name, [])
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    # Requests

    def _serve(self, client: Client, request: Spec, descriptors: list[int]) -> Spec | None:
        """The answer, or None if it comes later."""
        match request["op"]:
            case "start":
                self._begin(client, request, processes.start_container)
                return None
            case "exec":
                self._begin(client, request, processes.start_command)
                self._owners[request["id"]] = client
                return None
            case "sandbox":
                self._begin(client, request, processes.start_sandbox)
                return None
            case "list":
                return {"processes": [p.describe() for p in self._processes.values() if p.started]}
            case "signal":
                self._signal(request)
            case "forget":
                self._forget(request["id"])
            case "end":
                return self._end(client, request)
            case "unpin":
                sandbox.unpin(request["paths"])
            case "input":
                self._hand_input(client, request)
                return None
            case "close-input":
                self._close_input(request["id"])
            case "listen":
                self._listen_to(request["id"], descriptors)
            case "reopen-log":
                self._reopen_log(request["id"])
            case "quit":
                self._quit = True
            case other:
                raise StepError("request", f"unknown request {other}")
        return {}

    def _find(self, name: str) -> Process:
        found = self._processes.get(name)
        if found is None:
            raise StepError("request", f"no process {name}", 3)
        return found

    def _begin(self, client: Client, request: Spec, start: Callable[[Spec], Process]) -> None:
        """Fork now; the answer comes when the child has executed, or says what failed."""
        if request["id"] in self._processes:
            raise StepError("request", f"process {request['id']} exists", 17)
        process = start(request)
        self._processes[process.id] = process
        self._by_pid[process.pid] = process
        self._waiting[process.id] = (client, request["n"])
        self._watch(process.report, lambda: self._reported(process, request))
        for stream in process.streams:
            self._follow(process, stream)

    def _follow(self, process: Process, stream: Stream) -> None:
        def pump() -> None:
            if not stream.pump():
                self._selector.unregister(stream.descriptor)
                stream.close()
                process.streams.remove(stream)
                self._close_finished(process)

        self._watch(stream.descriptor, pump)

    def _reported(self, process: Process, request: Spec) -> None:
        word, descriptors, failure = processes.read_report(process)
        match word:
            case "terminal":
                self._take_terminal(process, descriptors[0])
                return
            case "made":
                try:
                    sandbox.pin(process.pid, request["pins"])
                    if request["shm"]:
                        sandbox.mount_shared_memory(request["shm"], request["shm_size"])
                except StepError as error:
                    failure = json.loads(error.encode())["error"]
                    sandbox.unpin(list(request["pins"].values()))
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(process.pid, signal.SIGKILL)
                else:
                    with contextlib.suppress(OSError):
                        process.report.send(b"pinned")
        self._selector.unregister(process.report)
        process.report.close()
        self._settle(process, failure)

    def _take_terminal(self, process: Process, master: int) -> None:
        if process.log is None:
            process.handed = [master]
            return
        process.input = os.dup(master)
        stream = Stream("stdout", master, process.log)
        process.streams.append(stream)
        self._follow(process, stream)

    def _settle(self, process: Process, failure: Spec | None) -> None:
        """Answer the request that started the process."""
        client, number = self._waiting.pop(process.id)
        if failure is not None:
            self._drop(process)
            self._send(client, {"n": number, "error": failure})
            return
        process.started = True
        self._send(client, {"n": number, "ok": process.describe()}, process.handed)
        for descriptor in process.handed:
            os.close(descriptor)
        process.handed = []
        if process.exit_code is not None:
            self._tell_exit(process)

    def _release(self, process: Process) -> None:
        for stream in process.streams:
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(stream.descriptor)
        for descriptor in process.handed:
            os.close(descriptor)
        process.handed = []
        process.close()

    def _signal(self, request: Spec) -> None:
        process = self._find(request["id"])
        if request.get("group") and process.exit_code is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, request["signal"])
            return
        processes.send_signal(process, request["signal"])

    def _forget(self, name: str) -> None:
        """Drop what is known of an ended process."""
        process = self._processes.get(name)
        if process is None:
            return
        if process.exit_code is None:
            raise StepError("request", f"process {name} still runs", 16)
        self._drop(process)

    def _drop(self, process: Process) -> None:
        self._processes.pop(process.id, None)
        self._owners.pop(process.id, None)
        self._release(process)

    def _end(self, client: Client, request: Spec) -> Spec | None:
        """Kill a process and forget it; the answer comes when it is gone."""
        process = self._processes.get(request["id"])
        if process is None:
            return {}
        if process.exit_code is not None:
            self._drop(process)
            return {}
        self._ending.setdefault(process.id, []).append((client, request["n"]))
        processes.send_signal(process, signal.SIGKILL)
        return None

    def _hand_input(self, client: Client, request: Spec) -> None:
        """Give the runtime the container's input, or its terminal."""
        process = self._find(request["id"])
        handed = [process.input] if process.input is not None else []
        message = {"n": request["n"], "ok": {"terminal": process.terminal, "input": bool(handed)}}
        self._send(client, message, handed)

    def _close_input(self, name: str) -> None:
        process = self._find(name)
        if process.input is not None and not process.terminal:
            os.close(process.input)
            process.input = None

    def _listen_to(self, name: str, descriptors: list[int]) -> None:
        """Send a container's output, from now on, to these pipes too: standard output's, then error's."""
        process = self._find(name)
        by_name = {stream.name: stream for stream in process.streams}
        for stream_name in (b"stdout", b"stderr"):
            if descriptors and (stream := by_name.get(stream_name)) is not None:
                with contextlib.suppress(OSError):
                    fcntl.fcntl(descriptors[0], fcntl.F_SETPIPE_SZ, PIPE_BYTES)
                stream.listen(descriptors.pop(0))
            elif descriptors:
                os.close(descriptors.pop(0))

    def _reopen_log(self, name: str) -> None:
        if (log := self._find(name).log) is not None:
            log.reopen()

    # Ends

    def _collect(self, wake: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            wake.recv(4096)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if (process := self._by_pid.pop(pid, None)) is not None:
                self._ended(process, status)

    def _ended(self, process: Process, status: int) -> None:
        for stream in process.streams:
            stream.drain()
        process.exit_code = processes.end_code(status)
        process.finished_at = time.time_ns()
        if process.input is not None:
            os.close(process.input)
            process.input = None
        if process.started:
            self._tell_exit(process)
        self._close_finished(process)
        if (waiting := self._ending.pop(process.id, None)) is not None:
            self._drop(process)
            for client, number in waiting:
                self._send(client, {"n": number, "ok": {}})

    def _close_finished(self, process: Process) -> None:
        """The log is closed once the process has ended and nobody holds its output."""
        if process.exit_code is not None and not process.streams and process.log is not None:
            process.log.close()
            process.log = None

    def _tell_exit(self, process: Process) -> None:
        for client in list(self._clients):
            self._send(client, {"event": "exit", **process.describe()})


def seal() -> None:
    """Run from a read-only view of the interpreter, by executing it anew.

    A container may be told to execute ``/proc/self/exe``, which until then is
    the interpreter: it must find a file there that it cannot write to.
    """
    if SEALED in os.environ:
        return
    interpreter = os.path.realpath(sys.executable)
    descriptor = syscalls.open_tree(interpreter, recursive=False)
    syscalls.mount_setattr(f"/proc/self/fd/{descriptor}", recursive=False, attributes=syscalls.MOUNT_ATTR_RDONLY)
    arguments = [sys.executable, *sys.orig_argv[1:]]
    os.execve(f"/proc/self/fd/{descriptor}", arguments, {**os.environ, SEALED: "1"})


def main() -> None:
    """``spawner SOCKET [DESCRIPTOR]``: serve until told to quit; close the descriptor once ready."""
    seal()
    with open("/proc/self/comm", "w") as comm:
        comm.write("tiphys-spawner")
    os.chdir("/")
    Server(sys.argv[1]).run()
