"""Our keys and etcd's: the same but for the configured prefix, and what a range of them is."""

from typing import Any

from tiphys.store.interface import KeyValue

ROOT = "/registry"
#: Written where a watch can see it, to learn how far the watch is; see ``watching.py``.
MARKER = "tiphys.dev/progress"


class Keys:
    """Puts ``prefix`` in the place of ``/registry``."""

    def __init__(self, prefix: str) -> None:
        self._prefix = "/" + prefix.strip("/")
        self._same = self._prefix == ROOT
        self._cut = len(self._prefix)

    def stored(self, key: str) -> bytes:
        """The key in etcd."""
        if not self._same and key.startswith(ROOT):
            key = self._prefix + key[len(ROOT) :]
        return key.encode()

    def key(self, stored: bytes) -> str:
        key = stored.decode()
        return key if self._same or not key.startswith(self._prefix) else ROOT + key[self._cut :]

    def item(self, kv: Any) -> KeyValue:
        return KeyValue(self.key(kv.key), kv.value, kv.create_revision, kv.mod_revision)


def end_of(prefix: bytes) -> bytes:
    """The first key behind all that begin with ``prefix``. Source: etcd docs, "Key ranges"."""
    cut = prefix.rstrip(b"\xff")
    return cut[:-1] + bytes([cut[-1] + 1]) if cut else b"\0"
