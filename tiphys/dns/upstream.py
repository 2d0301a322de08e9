"""Name servers of the host, as its resolv.conf lists them."""

from collections.abc import Collection
from pathlib import Path

_PORT = 53
_MAX_SERVERS = 3

Server = tuple[str, int]


def name_servers(text: str, own: Collection[str]) -> list[Server]:
    """The first three of the file, without those that are ourselves: asking them would go round in circles."""
    found = []
    for line in text.splitlines():
        words = line.split("#")[0].split(";")[0].split()
        if len(words) >= 2 and words[0] == "nameserver":
            address = words[1].split("%")[0]
            if address not in own and (address, _PORT) not in found:
                found.append((address, _PORT))
    return found[:_MAX_SERVERS]


class ResolvConf:
    """The file, read again when it has changed."""

    def __init__(self, path: Path, own: Collection[str]) -> None:
        self._path = path
        self._own = own
        self._seen: tuple[int, int] | None = None
        self._servers: list[Server] = []

    def servers(self) -> list[Server]:
        """Empty if the file is missing or names nobody else."""
        try:
            status = self._path.stat()
            seen = status.st_mtime_ns, status.st_ino
            if seen != self._seen:
                self._servers = name_servers(self._path.read_text(errors="replace"), self._own)
                self._seen = seen
        except OSError:
            self._servers, self._seen = [], None
        return self._servers
