"""Objects in the other shapes a client may ask for: tables and metadata alone.

Rows are kept with their entry for the second in which they were printed: ages
are text, and many clients print the same objects.
Source: Kubernetes docs, "Kubernetes API Concepts", "Receiving resources as Tables".
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal

import msgspec

from tiphys.apiserver.entries import Entry, View, with_managed
from tiphys.machinery import codec, errors
from tiphys.resources import columns
from tiphys.resources.rules import Resource

Include = Literal["Metadata", "Object", "None"]
INCLUDES: Final[tuple[Include, ...]] = ("None", "Metadata", "Object")


class _RawMetadata(msgspec.Struct):
    """Finds where the metadata ends without decoding it."""

    metadata: msgspec.Raw


_metadata = msgspec.json.Decoder(_RawMetadata)


def partial(entry: Entry, version: str, *, managed: bool) -> bytes:
    """PartialObjectMetadata of an entry, with managed fields or without."""
    return partial_of(metadata_of(entry, managed=managed), version)


def metadata_of(entry: Entry, *, managed: bool) -> bytes:
    """The JSON of an entry's metadata, with managed fields or without."""
    metadata: bytes | None = entry.memo.get("metadata")
    if metadata is None:
        # bytes() because a Raw keeps the whole text alive.
        metadata = entry.memo["metadata"] = bytes(_metadata.decode(b"{" + entry.tail).metadata)
    if managed:
        return with_managed(b'"metadata":' + metadata, entry.managed)[len(b'"metadata":') :]
    return metadata


def partial_of(metadata: bytes, version: str) -> bytes:
    """PartialObjectMetadata around a metadata's JSON."""
    head = b'{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/%b","metadata":' % version.encode()
    return b"%b%b}" % (head, metadata)


class Printer:
    """Prints the entries of one view as table rows."""

    def __init__(self, view: View) -> None:
        self._view = view
        row: Resource = view.row
        self._columns = row.columns or columns.DEFAULT_COLUMNS
        self.definitions = msgspec.json.encode(
            [
                {
                    "name": column.name,
                    "type": column.type,
                    "format": column.format,
                    "description": column.description,
                    "priority": column.priority,
                }
                for column in self._columns
            ]
        )

    def row(self, entry: Entry, now: datetime, version: str, include: Include) -> bytes:
        """One element of a table's ``rows``."""
        key = (self, version, include)
        second = int(now.timestamp())
        kept: tuple[int, bytes] | None = entry.memo.get(key)
        if kept is not None and kept[0] == second:
            return kept[1]
        text = b'{"cells":%b,"object":%b}' % (self._cells(entry, now), self._object(entry, version, include))
        entry.memo[key] = (second, text)
        return text

    def _cells(self, entry: Entry, now: datetime) -> bytes:
        obj = self._view.bare(entry)
        return codec.encode([column.cell(obj, now) for column in self._columns])

    def _object(self, entry: Entry, version: str, include: Include) -> bytes:
        if include == "Object":
            return self._view.head + self._view.tail(entry)
        return b"null" if include == "None" else partial(entry, version, managed=self._view.shows_managed(entry))

    def table(
        self, rows: Sequence[bytes], list_metadata: bytes, version: str, *, with_definitions: bool = True
    ) -> bytes:
        """A whole Table; ``list_metadata`` is the JSON of its metadata."""
        return b'{"kind":"Table","apiVersion":"meta.k8s.io/%b","metadata":%b,"columnDefinitions":%b,"rows":[%b]}' % (
            version.encode(),
            list_metadata,
            self.definitions if with_definitions else b"null",
            b",".join(rows),
        )


def include_of(text: str) -> Include:
    """The ``includeObject`` parameter; raises BadRequest."""
    for known in INCLUDES:
        if known == (text or "Metadata"):
            return known
    raise errors.BadRequest(f'unrecognized includeObject value: "{text}"')
