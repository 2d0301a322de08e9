"""Where the objects are that a field selector names, for the few fields that are asked for all the time.

Each kubelet lists and watches the Pods of its own node; without an index each of
them walks over all Pods of the cluster. An index is made when it is first asked
for and kept up with every change from then on. Only part of an object is decoded
for it. Kubernetes keeps the same index (its Pod strategy's ``spec.nodeName``).
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from tiphys.apiserver.entries import Entry

#: Reads the field of an entry.
Read = Callable[[Entry], str]


class _Placed(msgspec.Struct):
    nodeName: str = ""


class _Pod(msgspec.Struct):
    spec: _Placed = msgspec.field(default_factory=_Placed)


_pod = msgspec.json.Decoder(_Pod)


def _node_of(entry: Entry) -> str:
    return _pod.decode(b"{" + entry.tail).spec.nodeName


#: By group and plural of what is stored, then by field.
INDEXED: Final[Mapping[tuple[str, str], Mapping[str, Read]]] = {("", "pods"): {"spec.nodeName": _node_of}}


class Index:
    """Keys, in order, by the value of one field."""

    def __init__(self, read: Read, entries: Iterable[Entry]) -> None:
        self._read = read
        self._keys: dict[str, list[str]] = {}
        for entry in entries:
            self._keys.setdefault(read(entry), []).append(entry.key)
        for keys in self._keys.values():
            keys.sort()

    def keys(self, value: str) -> Sequence[str]:
        return self._keys.get(value, ())

    def take(self, new: Entry | None, old: Entry | None) -> None:
        """Keep up with one change."""
        now = self._read(new) if new is not None else None
        before = self._read(old) if old is not None else None
        if now == before:
            return
        if old is not None and before is not None:
            keys = self._keys[before]
            del keys[bisect_left(keys, old.key)]
            if not keys:
                del self._keys[before]
        if new is not None and now is not None:
            insort(self._keys.setdefault(now, []), new.key)
