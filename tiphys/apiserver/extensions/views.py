"""Stored custom objects, whatever version they were written in, as one served version shows them.

Bytes that this server wrote under the schema that holds now are shown as they
are. What was stored before, or in another version, is read once through the
schemas (defaults of the version it is stored in, then pruned by the version it
is asked for) and kept with its entry.
"""

from collections.abc import Mapping
from typing import Any

from tiphys.apiserver.cache import ResourceCache, Unreadable
from tiphys.apiserver.entries import Entry, Unprepared, View, head_of, parted
from tiphys.apiserver.extensions.kinds import custom_class, schema_of
from tiphys.machinery import codec
from tiphys.machinery.custom import CustomObject
from tiphys.resources.rules import Resource

_METADATA = b'"metadata":{'


class CustomCache(ResourceCache):
    """The entries of one definition. ``versions`` are its rows, the stored one is ``row``."""

    def __init__(self, row: Resource, versions: Mapping[str, Resource]) -> None:
        super().__init__(row)
        self._rows = {head_of(other): other for other in versions.values()}

    def make(self, key: str, revision: int, value: bytes) -> Entry:
        if value.startswith(self.head):
            return super().make(key, revision, value)
        cut = value.find(_METADATA)
        if cut < 0 or not value.startswith(b"{"):
            raise Unreadable(key)
        head = value[:cut]
        row = self._rows.get(head, self.row)
        return Entry(row, head, key, revision, *parted(value, cut + len(_METADATA), revision))

    def adopted(self, entry: Entry) -> Entry:
        row = self._rows.get(entry.head, self.row)
        return Entry(row, entry.head, entry.key, entry.revision, entry.tail, entry.managed)


class CustomView(View):
    """``since``: entries above this revision were written under the schema that holds now; 0 for all."""

    def __init__(self, row: Resource, storage: Resource, since: int, *, by_webhook: bool = False) -> None:
        super().__init__(row)
        self._since = since
        self._by_webhook = by_webhook
        schema, stored = schema_of(row), schema_of(storage)
        self._same = row is storage or (schema.props == stored.props and not by_webhook)
        self._stored_head = head_of(storage)
        self.identical = self._same and not since

    def plain(self, entry: Entry) -> bytes:
        if self._is_current(entry):
            return entry.tail
        if self._by_webhook and entry.head != self.head:
            return self._converted(entry)
        tail: bytes | None = entry.memo.get(self)
        if tail is None:
            obj, changed = self._read(entry)
            tail = entry.memo[self] = codec.encode(obj)[len(self.head) :] if changed else entry.tail
        return tail

    def _is_current(self, entry: Entry) -> bool:
        return self._same and entry.revision > self._since and entry.head == self._stored_head

    def _converted(self, entry: Entry) -> bytes:
        """What ``Conversion.prepare`` has kept; whoever reads without preparing is at fault."""
        origin = entry.origin or entry
        tail: bytes | None = origin.memo.get(self)
        if tail is None:
            raise Unprepared(origin)
        if origin is entry:
            return tail
        cut = len(b'"metadata":{"resourceVersion":"",') + len(str(origin.revision))
        return b'"metadata":{"resourceVersion":"%d",%b' % (entry.revision, tail[cut:])

    def object(self, entry: Entry) -> Any:
        if self._is_current(entry) and entry.row is self.row:
            return entry.object
        return self._read(entry)[0]

    def bare(self, entry: Entry) -> Any:
        return self._read(entry)[0]

    def _read(self, entry: Entry) -> tuple[CustomObject, bool]:
        """The entry's object in this version, and whether it differs from what is stored."""
        if self._by_webhook and entry.head != self.head:
            converted: Any = codec.decode_own(self.row.cls, self.head + self._converted(entry))
            return converted, True
        stored: Any = entry.bare()
        obj: Any = stored
        if entry.row is not self.row:
            obj = custom_class(self.row)(stored)
            obj.apiVersion = self.row.api_version
        if self._is_current(entry):
            return obj, False
        before = codec.encode(obj)
        entry.row.strategy.default(obj)
        schema_of(self.row).prune(obj)
        return obj, codec.encode(obj) != before
