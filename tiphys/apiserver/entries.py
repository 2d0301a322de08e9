"""One stored object at one revision, as bytes that clients receive.

A stored value begins ``{"apiVersion":"…","kind":"…","metadata":{`` and holds no
resourceVersion. An ``Entry`` keeps the part behind apiVersion and kind, with the
resourceVersion spliced in, as its ``tail``, and who owns the fields apart from it:

- an object is ``head + tail``, where the head is the same for a whole resource;
- a list item is ``{ + tail``, because items carry neither apiVersion nor kind;
- a watch event is ``{"type":"ADDED","object": + head + tail + }``;
- managed fields, as long as all the rest of a small object, are put into the tail
  of what is read alone or was just written, and elsewhere where somebody applies.

``View`` is how one served resource sees entries: itself where its class is
what is stored, through a conversion (computed once per entry) where it is not.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec

from tiphys.api import meta_v1
from tiphys.machinery import codec, fieldsets
from tiphys.resources.rules import Resource


class _Labels(msgspec.Struct):
    labels: dict[str, str] = {}


class _Labelled(msgspec.Struct):
    """Reads the labels out of an object and skips the rest."""

    metadata: _Labels = msgspec.field(default_factory=_Labels)


_labels_decoder = msgspec.json.Decoder(_Labelled)
_OPEN: Final = b'"metadata":{'
_APPLIED: Final = b'"operation":"Apply"'
_MEMBER: Final = b'"managedFields":['
# Text in JSON cannot hold a quote, and what is owned is nested objects, so that this ends the array of all owners.
_BEHIND: Final = b'],"name":"'


def head_of(row: Resource) -> bytes:
    """What every object of ``row`` begins with."""
    return b'{"apiVersion":"%b","kind":"%b",' % (row.api_version.encode(), row.kind.encode())


def tail_of(value: bytes, cut: int, revision: int) -> bytes:
    """A stored value without its head, and with its revision; ``cut`` is the length up to ``"metadata":{``."""
    return b'"metadata":{"resourceVersion":"%d",%b' % (revision, value[cut:])


def value_of(obj: Any) -> bytes:
    """The bytes to store of an object: without resourceVersion, its managed fields where ``parted`` looks first."""
    metadata = obj.metadata
    metadata.resourceVersion = ""
    owners = metadata.managedFields
    if not owners:
        return codec.encode(obj)
    metadata.managedFields = None
    plain = codec.encode(obj)
    metadata.managedFields = owners
    at = plain.index(_OPEN) + len(_OPEN)
    return b'%b"managedFields":%b,%b' % (plain[:at], codec.encode(owners), plain[at:])


def parted(value: bytes, cut: int, revision: int) -> tuple[bytes, bytes]:
    """The tail of a stored value without its managed fields, and these: an array's JSON, or nothing."""
    if value.startswith(_MEMBER, cut):
        end = value.find(_BEHIND, cut) + 1
        if end:
            return tail_of(value, end + 1, revision), _shared(value[cut + len(_MEMBER) - 1 : end])
    plain, managed = fieldsets.parted(value)
    return tail_of(plain, cut, revision), _shared(managed)


# Objects made of one template by one program have the same ones, which are kept once.
@lru_cache(maxsize=1024)
def _shared(managed: bytes) -> bytes:
    return managed


_owners_decoder: Final = codec.decoder(list[meta_v1.ManagedFieldsEntry])
_owners: Final = lru_cache(maxsize=256)(_owners_decoder.decode)


def with_managed(tail: bytes, managed: bytes) -> bytes:
    """A tail of any version with its managed fields put in."""
    return b'"metadata":{"managedFields":%b,%b' % (managed, tail[len(_OPEN) :]) if managed else tail


class Entry:
    """One object at one revision; never changes. Two entries of one key are two objects."""

    __slots__ = (
        "_labels",
        "_object",
        "applied",
        "head",
        "key",
        "managed",
        "memo",
        "name",
        "namespace",
        "origin",
        "revision",
        "row",
        "tail",
    )

    def __init__(self, row: Resource, head: bytes, key: str, revision: int, tail: bytes, managed: bytes = b"") -> None:
        self.row = row
        self.head = head
        self.key = key
        self.revision = revision
        #: Without managed fields.
        self.tail = tail
        #: The JSON of the array, empty if there is none.
        self.managed = managed
        #: Whether somebody owns fields by server-side apply.
        self.applied = _APPLIED in managed
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
        """The decoded object, with its resourceVersion and without managed fields; shared, never to be changed."""
        found = self._object
        if found is None:
            found = self._object = self.bare()
        return found

    def bare(self) -> Any:
        """The decoded object without managed fields, the caller's own."""
        return codec.decode_own(self.row.cls, self.head + self.tail)

    def owners(self) -> list[meta_v1.ManagedFieldsEntry] | None:
        """The managed fields. The list is the caller's own, the entries are shared and never to be changed."""
        return list(_owners(self.managed)) if self.managed else None

    def at(self, revision: int) -> "Entry":
        """The same object under another revision: the last state of something that left a watcher's sight."""
        cut = len(b'"metadata":{"resourceVersion":"",') + len(str(self.revision))
        tail = b'"metadata":{"resourceVersion":"%d",%b' % (revision, self.tail[cut:])
        copy = Entry(self.row, self.head, self.key, revision, tail, self.managed)
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
        #: Whether lists, watches and tables show who owns fields, whoever that is; else only where somebody applies.
        self.managed_in_lists = True

    def plain(self, entry: Entry) -> bytes:
        """The entry's tail in this view's version, without managed fields."""
        if self._convert is None:
            return entry.tail
        tail: bytes | None = entry.memo.get(self)
        if tail is None:
            tail = entry.memo[self] = codec.encode(self._convert(entry.bare()))[len(self.head) :]
        return tail

    def shows_managed(self, entry: Entry) -> bool:
        """Whether the entry's managed fields are shown among many."""
        return entry.applied or (self.managed_in_lists and entry.managed != b"")

    def tail(self, entry: Entry) -> bytes:
        """The tail as lists and watches show it."""
        tail = self.plain(entry)
        return with_managed(tail, entry.managed) if self.shows_managed(entry) else tail

    def tails(self, entries: Sequence[Entry]) -> list[bytes]:
        """The same of many, quickly."""
        if not self.identical:
            return [self.tail(entry) for entry in entries]
        if self.managed_in_lists:
            return [with_managed(entry.tail, entry.managed) for entry in entries]
        return [with_managed(entry.tail, entry.managed) if entry.applied else entry.tail for entry in entries]

    def body(self, entry: Entry) -> bytes:
        """The whole object."""
        return self.head + with_managed(self.plain(entry), entry.managed)

    def object(self, entry: Entry) -> Any:
        """The decoded object in this view's version, without managed fields; shared."""
        return entry.object if self._convert is None else self._convert(entry.object)

    def bare(self, entry: Entry) -> Any:
        """The decoded object in this view's version, without managed fields; the caller's own."""
        found = entry.bare()
        return found if self._convert is None else self._convert(found)

    def fresh(self, entry: Entry) -> Any:
        """The decoded object in this view's version, with managed fields; the caller's own."""
        found = self.bare(entry)
        found.metadata.managedFields = entry.owners()
        return found
