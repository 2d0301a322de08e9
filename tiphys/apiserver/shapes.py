"""An entry, a list and a watch event in the form a client asked for: all bytes a reader receives are made here."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from tiphys.apiserver.binary import Binary, error_frame
from tiphys.apiserver.entries import Entry, View
from tiphys.apiserver.negotiation import PLAIN, PROTOBUF, Form
from tiphys.apiserver.table import Include, Printer, partial, partial_of
from tiphys.machinery import codec, errors
from tiphys.machinery.custom import CustomObject


class Page(NamedTuple):
    """Some entries of a list. ``remaining`` is None where it is not known."""

    entries: Sequence[Entry]
    revision: int
    continue_token: str = ""
    remaining: int | None = None


def list_metadata(revision: int, continue_token: str = "", remaining: int | None = None) -> bytes:
    """The JSON of a ListMeta."""
    found: dict[str, Any] = {"resourceVersion": str(revision)}
    if continue_token:
        found["continue"] = continue_token
        if remaining is not None:
            found["remainingItemCount"] = remaining
    return msgspec.json.encode(found)


class Shaper:
    """Makes the bytes of one served resource."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.printer = Printer(view)
        self._binary: Binary | None = None
        row = view.row
        self._list_head = b'{"kind":"%b","apiVersion":"%b","metadata":' % (
            row.list_kind.encode(),
            row.api_version.encode(),
        )
        # Custom objects say what they are in lists too: nobody could infer it from a type.
        self._item = view.head if issubclass(row.cls, CustomObject) else b"{"

    @property
    def binary(self) -> Binary:
        """The protobuf side, made when somebody asks for it: it loads the table of messages."""
        if self._binary is None:
            self._binary = Binary(self.view)
        return self._binary

    def object(self, entry: Entry, form: Form, now: datetime, include: Include = "Metadata") -> bytes:
        """One object."""
        if form.media_type is PROTOBUF:
            return self.binary.object(entry, form.shape, form.version)
        if not form.shape:
            return self.view.body(entry)
        if form.shape == "Table":
            row = self.printer.row(entry, now, form.version, include)
            return self.printer.table([row], list_metadata(entry.revision), form.version)
        return partial(entry, form.version, managed=True)

    def list(self, page: Page, form: Form, now: datetime, include: Include = "Metadata") -> bytes:
        """A list. Items of built-in kinds carry neither apiVersion nor kind, as in Kubernetes."""
        metadata = list_metadata(page.revision, page.continue_token, page.remaining)
        if form.media_type is PROTOBUF:
            return self.binary.list(page.entries, metadata, form.shape, form.version)
        if not form.shape:
            return self._plain_list(page.entries, metadata)
        if form.shape == "Table":
            rows = [self.printer.row(entry, now, form.version, include) for entry in page.entries]
            return self.printer.table(rows, metadata, form.version)
        shown = self.view.shows_managed
        items = b",".join([partial(entry, form.version, managed=shown(entry)) for entry in page.entries])
        return b'{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/%b","metadata":%b,"items":[%b]}' % (
            form.version.encode(),
            metadata,
            items,
        )

    def _plain_list(self, entries: Sequence[Entry], metadata: bytes) -> bytes:
        if not entries:
            return b'%b%b,"items":[]}' % (self._list_head, metadata)
        item = self._item
        return b'%b%b,"items":[%b%b]}' % (self._list_head, metadata, item, (b"," + item).join(self.view.tails(entries)))

    def event(self, kind: str, entry: Entry, form: Form, now: datetime, include: Include, first: bool) -> bytes:
        """One line of a watch (in protobuf: one frame). Only the first table of a stream names its columns."""
        if form.media_type is PROTOBUF:
            return self.binary.event(kind, entry, form.shape, form.version)
        if not form.shape:
            return b'{"type":"%b","object":%b%b}\n' % (kind.encode(), self.view.head, self.view.tail(entry))
        if form.shape == "Table":
            row = self.printer.row(entry, now, form.version, include)
            metadata = list_metadata(entry.revision)
            body = self.printer.table([row], metadata, form.version, with_definitions=first)
        else:
            body = partial(entry, form.version, managed=self.view.shows_managed(entry))
        return b'{"type":"%b","object":%b}\n' % (kind.encode(), body)

    def bookmark(self, revision: int, form: Form, initial_events_end: bool = False) -> bytes:
        """A BOOKMARK: an object that has a resourceVersion and nothing else."""
        metadata: dict[str, Any] = {"resourceVersion": str(revision)}
        if initial_events_end:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        if form.media_type is PROTOBUF:
            return self.binary.bookmark(metadata, form.shape, form.version)
        text = msgspec.json.encode(metadata)
        if form.shape == "Table":
            row = b'{"cells":[],"object":%b}' % partial_of(text, form.version)
            body = self.printer.table([row], list_metadata(revision), form.version, with_definitions=False)
        elif form.shape:
            body = partial_of(text, form.version)
        else:
            body = b'%b"metadata":%b}' % (self.view.head, text)
        return b'{"type":"BOOKMARK","object":%b}\n' % body


def error_event(error: errors.StatusError, form: Form = PLAIN) -> bytes:
    """An ERROR line (in protobuf: a frame); the stream ends after it."""
    if form.media_type is PROTOBUF:
        return error_frame(error)
    return b'{"type":"ERROR","object":%b}\n' % codec.encode(error.status())
