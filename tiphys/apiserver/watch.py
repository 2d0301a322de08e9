"""Watches: who is told of which change, as bytes that are made once for all.

A ``Hub`` listens to one resource's cache. Watchers are kept by what they could
possibly see (everything, one namespace, one name), so that a change costs
nothing for those it cannot concern. A frame is made once per form and type and
the same object is written to every watcher; several changes that are committed
together reach a watcher in one write, joined once for all that see the same.

A watcher that does not take its bytes is cut off rather than allowed to hold
memory. Source: Kubernetes docs, "Kubernetes API Concepts", "Efficient detection
of changes" and "Streaming lists"; KEP-956 watch bookmarks.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime

from tiphys.apiserver.cache import Change, ResourceCache
from tiphys.apiserver.entries import Entry
from tiphys.apiserver.matching import Matcher
from tiphys.apiserver.negotiation import Form
from tiphys.apiserver.shapes import Shaper
from tiphys.apiserver.table import Include
from tiphys.wire.exchange import Sink

log = logging.getLogger(__name__)

# Watchers of a resource that are behind by more than a little may hold as much as this many may alone.
SHARES = 4
BEHIND_BYTES = 1024 * 1024
# Initial events are handed over in pieces of about this size, each once the last was taken.
PIECE_BYTES = 1024 * 1024


Likeness = tuple[Shaper, Form, Include]


class Watcher:
    """One watch. ``closed`` is resolved when the server or the bound on its buffer ends it."""

    __slots__ = (
        "_backlog",
        "_backlog_bytes",
        "closed",
        "form",
        "include",
        "matcher",
        "now",
        "places",
        "revision",
        "shaper",
        "sink",
        "tables_sent",
    )

    def __init__(
        self,
        shaper: Shaper,
        matcher: Matcher,
        form: Form,
        include: Include,
        now: Callable[[], datetime],
        places: tuple[str, str],
    ) -> None:
        self.shaper = shaper
        self.matcher = matcher
        self.form = form
        self.include = include
        self.now = now
        #: Namespace and name that are watched; empty for all.
        self.places = places
        #: Changes up to this revision are not reported.
        self.revision = 0
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sink: Sink | None = None
        self.tables_sent = False
        #: What happens while the initial events are still being written; None afterwards.
        self._backlog: list[bytes] | None = []
        self._backlog_bytes = 0

    def frame(self, change: Change) -> bytes | None:
        """The line that ``change`` is for this watcher; None if it does not concern it."""
        new, old, matcher = change.new, change.old, self.matcher
        if matcher.empty:
            entry = new or old
            kind = "DELETED" if new is None else "MODIFIED" if old is not None else "ADDED"
        else:
            after = new is not None and matcher.matches(new)
            before = old is not None and matcher.matches(old)
            if not after and not before:
                return None
            entry = new if after else old
            kind = "DELETED" if not after else "MODIFIED" if before else "ADDED"
        if entry is None:
            return None
        return self._frame(change, kind, entry)

    def _frame(self, change: Change, kind: str, entry: Entry) -> bytes:
        first = self.form.shape == "Table" and not self.tables_sent
        self.tables_sent = True
        key = (self.shaper, self.form, kind, self.include, first)
        found = change.frames.get(key)
        if found is None:
            if entry.revision != change.revision:
                entry = entry.at(change.revision)
            found = self.shaper.event(kind, entry, self.form, self.now(), self.include, first)
            change.frames[key] = found
        return found

    def added(self, entry: Entry) -> bytes:
        """The ADDED line of something that is there already."""
        first = self.form.shape == "Table" and not self.tables_sent
        self.tables_sent = True
        return self.shaper.event("ADDED", entry, self.form, self.now(), self.include, first)

    @property
    def likeness(self) -> Likeness | None:
        """Watchers of one place that have the same one see the same; None if this one may see something else."""
        # The first table of a stream is another than those behind it.
        alike = self.matcher.empty and self.form.shape != "Table"
        return (self.shaper, self.form, self.include) if alike else None

    def taken(self, changes: Sequence[Change]) -> bytes:
        """What these changes are for this watcher, as one text."""
        frames = [self.frame(change) for change in changes if change.revision > self.revision]
        pending = [frame for frame in frames if frame is not None]
        return pending[0] if len(pending) == 1 else b"".join(pending)

    def hand_over(self, data: bytes, buffer_bytes_max: int) -> int:
        """Send ``data``; cut the watcher off if too much waits for it. How many bytes wait."""
        if not data:
            return 0
        if self._backlog is not None:
            self._backlog.append(data)
            self._backlog_bytes += len(data)
            waiting = self._backlog_bytes
        else:
            assert self.sink is not None
            self.sink.write(data)
            waiting = self.sink.buffered_bytes()
        if waiting > buffer_bytes_max:
            self.close()
        return waiting

    def close(self) -> None:
        """End the watch; idempotent."""
        if not self.closed.done():
            self.closed.set_result(None)

    async def begin(self, sink: Sink, lines: Sequence[bytes]) -> None:
        """Write the initial ``lines``, then all that happened meanwhile; from then on changes go out at once."""
        self.sink = sink
        await _write_pieces(sink, lines)
        while self._backlog:
            backlog, self._backlog = self._backlog, []
            self._backlog_bytes = 0
            await _write_pieces(sink, backlog)
        self._backlog = None


async def _write_pieces(sink: Sink, lines: Sequence[bytes]) -> None:
    piece: list[bytes] = []
    size = 0
    for line in lines:
        piece.append(line)
        size += len(line)
        if size >= PIECE_BYTES:
            sink.write(b"".join(piece))
            piece, size = [], 0
            await sink.drain()
    if piece:
        sink.write(b"".join(piece))


class Hub:
    """All watchers of one resource's cache."""

    def __init__(self, cache: ResourceCache, buffer_bytes_max: int) -> None:
        self.cache = cache
        self._buffer_bytes_max = buffer_bytes_max
        #: What one watcher may leave waiting now.
        self._share = buffer_bytes_max
        #: By (namespace, name) of what they can see; dicts, because their order must be the same in every run.
        self._places: defaultdict[tuple[str, str], dict[Watcher, None]] = defaultdict(dict)
        self._closed = False
        #: How many watch, and the events they were told.
        self.watchers = 0
        self.told = 0
        self._undelivered: list[Change] = []
        cache.listeners.append(self._changed)

    def add(self, watcher: Watcher) -> None:
        """Tell ``watcher`` of changes from now on. A hub that has closed ends it at once."""
        if self._closed:
            watcher.close()
        self._places[watcher.places][watcher] = None
        self.watchers += 1

    def remove(self, watcher: Watcher) -> None:
        found = self._places.get(watcher.places)
        if found is not None and watcher in found:
            del found[watcher]
            self.watchers -= 1
            if not found:
                del self._places[watcher.places]

    def close(self) -> None:
        """End all watches, and those that come later."""
        self._closed = True
        for watchers in self._places.values():
            for watcher in watchers:
                watcher.close()

    def _tell(self, watcher: Watcher, changes: Sequence[Change], made: dict[Likeness, bytes]) -> int:
        """Send ``changes``; ``made`` keeps their text for those who see the same.

        A fault in making a frame (a column, a conversion) ends that watch, not the others.
        """
        try:
            # Who has joined meanwhile has seen some of them already.
            likeness = watcher.likeness if watcher.revision < changes[0].revision else None
            if likeness is None:
                return watcher.hand_over(watcher.taken(changes), self._share)
            data = made.get(likeness)
            if data is None:
                data = made[likeness] = watcher.taken(changes)
            return watcher.hand_over(data, self._share)
        except Exception:
            log.exception("watch event could not be made", extra={"resource": self.cache.row.plural})
            watcher.close()
            return 0

    def settled(self, revision: int) -> int:
        """Up to where watchers have been told everything, once ``deliver`` has run; ``revision`` is the newest."""
        return revision

    def _changed(self, changes: Sequence[Change]) -> None:
        """Deliver on the loop's next turn: after the answer to the write, and together with what else comes."""
        if self._places:
            if not self._undelivered:
                asyncio.get_running_loop().call_soon(self.deliver)
            self._undelivered += changes

    def deliver(self) -> None:
        """Tell watchers what they have not been told yet. Bookmarks must come behind it."""
        places = self._places
        changes, self._undelivered = self._undelivered, []
        touched: dict[tuple[str, str], list[Change]] = {}
        for change in changes:
            entry = change.new or change.old
            if entry is None:
                continue
            namespace, name = entry.namespace, entry.name
            # A dict, not a set: a cluster-scoped object's places coincide.
            for place in {("", ""): 0, (namespace, ""): 0, ("", name): 0, (namespace, name): 0}:
                if place in places:
                    touched.setdefault(place, []).append(change)
        waiting: list[int] = []
        for place, theirs in touched.items():
            made: dict[Likeness, bytes] = {}
            watchers = list(places[place])
            waiting += [self._tell(watcher, theirs, made) for watcher in watchers]
            self.told += len(theirs) * len(watchers)
        behind = sum(size > BEHIND_BYTES for size in waiting)
        # One slow watcher may take its time, a crowd of them may not hold the memory of a crowd.
        self._share = (
            max(BEHIND_BYTES, self._buffer_bytes_max * SHARES // behind) if behind > SHARES else self._buffer_bytes_max
        )
        # The history keeps changes; the bytes made of them are not kept with it.
        for change in changes:
            change.frames.clear()
