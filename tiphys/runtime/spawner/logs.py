"""Container output to log files in CRI's format, and to whoever is attached.

The spawner writes logs itself, because it is the one process that does not end
while containers run: no line is lost while kubelet or runtime are down.
Source: CRI, "Kubelet container logging": ``<RFC 3339 nanoseconds> <stream> <F|P> <text>``.
"""

import errno
import os
import time
from contextlib import suppress

from tiphys.runtime.spawner.steps import step

#: A longer line is cut into parts, marked P but for the last.
LINE_BYTES_MAX = 16 * 1024
READ_BYTES = 64 * 1024
#: What output leaves free on the disk: a Pod that floods its log must not keep the cluster from noting its deletion.
FREE_BYTES_MIN = 16 * 1024 * 1024


def timestamp(nanoseconds: int) -> bytes:
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)).encode() + b".%09dZ" % rest


class LogFile:
    """The file that both streams of a container go to; written without buffering, so a reader sees all."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor = self._open()
        self.error = ""

    def _open(self) -> int:
        if not self._path:
            return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        with step("open log"):
            os.makedirs(os.path.dirname(self._path), exist_ok=True)
            return os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)

    def reopen(self) -> None:
        """After a rotation: the old file was renamed. Raises StepError, and then goes on with the old one."""
        opened = self._open()
        os.close(self._descriptor)
        self._descriptor = opened

    def write(self, data: bytes) -> None:
        try:
            if self._path and self._free_bytes() < FREE_BYTES_MIN:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.write(self._descriptor, data)
        except OSError as error:
            # A full disk must not stop the container; what could not be written is lost, and said.
            self.error = f"log {self._path}: {error.strerror}"

    def _free_bytes(self) -> int:
        disk = os.fstatvfs(self._descriptor)
        return disk.f_bavail * disk.f_frsize

    def close(self) -> None:
        os.close(self._descriptor)


class Stream:
    """One output of a container: a pipe's or terminal's reading end, its log, and its listeners."""

    def __init__(self, name: str, descriptor: int, log: LogFile) -> None:
        self.descriptor = descriptor
        self.name = name.encode()
        self._log = log
        self._partial = b""
        self._listeners: list[int] = []
        os.set_blocking(descriptor, False)

    def listen(self, descriptor: int) -> None:
        """Send what comes from now on to ``descriptor`` as well; it is ours to close."""
        os.set_blocking(descriptor, False)
        self._listeners.append(descriptor)

    def pump(self) -> bool:
        """Take what is there; False at the end of the stream."""
        try:
            data = os.read(self.descriptor, READ_BYTES)
        except BlockingIOError:
            return True
        except OSError:
            # A terminal whose last user has gone reports EIO instead of an end.
            data = b""
        if not data:
            self._flush()
            return False
        self._tee(data)
        self._write(data)
        return True

    def drain(self) -> None:
        """Take all that is there now; what background processes write later is pumped as it comes."""
        while True:
            try:
                data = os.read(self.descriptor, READ_BYTES)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                # Nobody is left to end the last line, and whoever hears of the end may read the log at once.
                self._flush()
                return
            self._tee(data)
            self._write(data)

    def _tee(self, data: bytes) -> None:
        for listener in list(self._listeners):
            try:
                sent = os.write(listener, data)
            except OSError:
                sent = -1
            if sent != len(data):
                # Gone, or so slow that its pipe is full: the container must not wait for it.
                self._listeners.remove(listener)
                os.close(listener)

    def _write(self, data: bytes) -> None:
        lines = (self._partial + data).split(b"\n")
        self._partial = lines.pop()
        head = timestamp(time.time_ns()) + b" " + self.name + b" "
        out: list[bytes] = []
        for line in lines:
            while len(line) > LINE_BYTES_MAX:
                out += (head, b"P ", line[:LINE_BYTES_MAX], b"\n")
                line = line[LINE_BYTES_MAX:]
            out += (head, b"F ", line, b"\n")
        while len(self._partial) >= LINE_BYTES_MAX:
            out += (head, b"P ", self._partial[:LINE_BYTES_MAX], b"\n")
            self._partial = self._partial[LINE_BYTES_MAX:]
        if out:
            self._log.write(b"".join(out))

    def _flush(self) -> None:
        """A last line without its end."""
        if self._partial:
            line = timestamp(time.time_ns()) + b" " + self.name + b" F " + self._partial + b"\n"
            self._log.write(line)
            self._partial = b""

    def close(self) -> None:
        self._flush()
        for descriptor in (self.descriptor, *self._listeners):
            with suppress(OSError):
                os.close(descriptor)
        self._listeners.clear()
