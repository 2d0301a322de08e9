"""Entries, lists and watch events in protobuf, for ``shapes.Shaper``.

The message of an entry is kept with it as it stands in a list and in a body
alike (a field with the number 2), so that a list only joins what is there.
Source: Kubernetes docs, "Kubernetes API Concepts", "Protobuf encoding"; watch
frames by behaviour: a length of four bytes, then a WatchEvent.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tiphys.apiserver import protobuf
from tiphys.apiserver.entries import Entry, View, with_managed
from tiphys.apiserver.protobuf.writing import Writer, framed
from tiphys.apiserver.table import metadata_of
from tiphys.machinery import codec, errors

PARTIAL = "PartialObjectMetadata"


def frame(kind: str, body: bytes) -> bytes:
    """One event of a watch; ``body`` is a whole protobuf body."""
    event = framed(0x0A, kind.encode()) + framed(0x12, framed(0x0A, body))
    return len(event).to_bytes(4, "big") + event


def error_frame(error: errors.StatusError) -> bytes:
    """An ERROR event; the stream ends after it."""
    body = protobuf.document_of(codec.encode(error.status()))
    assert body is not None
    return frame("ERROR", body)


class Binary:
    """Makes the bytes of one served resource. Raises ProtobufError if its kind has no message."""

    def __init__(self, view: View) -> None:
        row = view.row
        self._view = view
        self._object = Writer(row.api_version, row.kind)
        self._list = Writer(row.api_version, row.list_kind)
        self._partial = {version: Writer(f"meta.k8s.io/{version}", PARTIAL) for version in ("v1", "v1beta1")}
        self._partials = {version: Writer(f"meta.k8s.io/{version}", f"{PARTIAL}List") for version in ("v1", "v1beta1")}

    def _item(self, entry: Entry, shape: str, *, whole: bool) -> bytes:
        """The entry as a field with the number 2; ``whole`` is with managed fields, wherever they are shown."""
        managed = entry.managed != b"" and (whole or self._view.shows_managed(entry))
        key = (self, bool(shape), managed)
        found: bytes | None = entry.memo.get(key)
        if found is None:
            if shape:
                document = {"metadata": msgspec.json.decode(metadata_of(entry, managed=managed))}
                content = self._partial["v1"].message(document)
            else:
                tail = self._view.plain(entry)
                shown = with_managed(tail, entry.managed) if managed else tail
                content = self._object.message(msgspec.json.decode(b"{" + shown))
            found = entry.memo[key] = framed(0x12, content)
        return found

    def object(self, entry: Entry, shape: str, version: str, *, whole: bool = True) -> bytes:
        """One object; ``shape`` is empty or PartialObjectMetadata."""
        writer = self._partial[version] if shape else self._object
        return writer.around(self._item(entry, shape, whole=whole))

    def list(self, entries: Sequence[Entry], metadata: bytes, shape: str, version: str) -> bytes:
        """A list; ``metadata`` is the JSON of its ListMeta."""
        writer = self._partials[version] if shape else self._list
        head = writer.message({"metadata": msgspec.json.decode(metadata)})
        return writer.body(head, *[self._item(entry, shape, whole=False) for entry in entries])

    def event(self, kind: str, entry: Entry, shape: str, version: str) -> bytes:
        return frame(kind, self.object(entry, shape, version, whole=False))

    def bookmark(self, metadata: Mapping[str, Any], shape: str, version: str) -> bytes:
        writer = self._partial[version] if shape else self._object
        return frame("BOOKMARK", writer.body(writer.message({"metadata": metadata})))
