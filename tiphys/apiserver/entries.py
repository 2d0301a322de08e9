"""One stored object at one revision, as bytes that clients receive.

A stored value begins ``{"apiVersion":"…","kind":"…","metadata":{`` and holds no
resourceVersion. An ``Entry`` keeps the part behind apiVersion and kind, with the
resourceVersion spliced in, as its ``tail``:

- an object is ``head + tail``, where the head is the same for a whole resource;
- a list item is ``{ + tail``, because items carry neither apiVersion nor kind;
- a watch event is ``{"type":"ADDED","object": + head + tail + }``.

``View`` is how one served resource sees entries: itself where its class is
what is stored, through a conversion (computed once per entry) where it is not.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from tiphys.machinery import codec, fieldsets
from tiphys.resources.rules import Resource


class _Labels(msgspec.Struct):
    labels: dict[str, str] = {}


class _Labelled(msgspec.Struct):
    """Reads the labels out of an object and skips the rest."""

    metadata: _Labels = msgspec.field(default_factory=_Labels)


_labels_decoder = msgspec.json.Decoder(_Labelled)


def head_of(row: Resource) -> bytes:
    """What every object of ``row`` begins with."""
    return b'{"apiVersion":"%b","kind":"%b",' % (row.api_version.encode(), row.kind.encode())


def tail_of(value: bytes, cut: int, revision: int) -> bytes:
    """A stored value without its head, and with its revision; ``cut`` is the length up to ``"metadata":{``."""
    return b'"metadata":{"resourceVersion":"%d",%b' % (revision, value[cut:])


class Entry:
    """One object at one revision; never changes. Two entries of one key are two objects."""

    __slots__ = ("_labels", "_object", "head", "key", "memo", "name", "namespace", "origin", "revision", "row", "tail")

    def __init__(self, row: Resource, head: bytes, key: str, revision: int, tail: bytes) -> None:
        self.row = row
        self.head = head
        self.key = key
        self.revision = revision
        self.tail = tail
        parts = key.split("/")
        self.name = parts[-1]
        self.namespace = parts[3] if len(parts) == 5 else ""
        self._labels: dict[str, str] | None = None
        self._object: Any = None
        #: The same object under the revision at which it was written, if that is another.
        self.origin: Entry | None = None
        #: What views have computed from this entry.
        self.memo: dict[Any, Any] = {}

    @property
    def labels(self) -> Mapping[str, str]:
        labels = self._labels
        if labels is None:
            labels = self._labels = _labels_decoder.decode(b"{" + self.tail).metadata.labels
        return labels

    @property
    def object(self) -> Any:
        """The decoded object, with its resourceVersion; shared, never to be changed.

        Without managed fields: nobody asks the shared object for them, and they would be most of its memory.
        """
        found = self._object
        if found is None:
            data = fieldsets.without_managed(self.head + self.tail)
            found = self._object = codec.decode_own(self.row.cls, data)
        return found

    def fresh(self) -> Any:
        """The decoded object, the caller's own."""
        return codec.decode_own(self.row.cls, self.head + self.tail)

    def at(self, revision: int) -> "Entry":
        """The same object under another revision: the last state of something that left a watcher's sight."""
        cut = len(b'"metadata":{"resourceVersion":"",') + len(str(self.revision))
        tail = b'"metadata":{"resourceVersion":"%d",%b' % (revision, self.tail[cut:])
        copy = Entry(self.row, self.head, self.key, revision, tail)
        if self.memo:
            # What a webhook has converted is kept there; otherwise nothing is to be held on to.
            copy.origin = self.origin or self
        return copy


class Unprepared(LookupError):
    """A view cannot show ``entry`` before somebody else has converted it."""

    def __init__(self, entry: Entry) -> None:
        super().__init__(entry.key)
        self.entry = entry


class View:
    """How ``row`` sees the entries of its storage."""

    def __init__(self, row: Resource) -> None:
        self.row = row
        self.head = head_of(row)
        self._convert = row.from_storage
        self.identical = row.from_storage is None

    def tail(self, entry: Entry) -> bytes:
        """The entry's tail in this view's version."""
        if self._convert is None:
            return entry.tail
        tail: bytes | None = entry.memo.get(self)
        if tail is None:
            tail = entry.memo[self] = codec.encode(self._convert(entry.fresh()))[len(self.head) :]
        return tail

    def body(self, entry: Entry) -> bytes:
        """The whole object."""
        return self.head + self.tail(entry)

    def object(self, entry: Entry) -> Any:
        """The decoded object in this view's version, without managed fields; shared."""
        return entry.object if self._convert is None else self._convert(entry.object)

    def fresh(self, entry: Entry) -> Any:
        """The decoded object in this view's version; the caller's own."""
        found = entry.fresh()
        return found if self._convert is None else self._convert(found)
