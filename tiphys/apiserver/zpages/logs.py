"""``/logs/``: the files below a directory, for administrators.

Nothing outside of it is shown, whatever the path or a link says, and nothing
that is not a plain file or a directory.
"""

import asyncio
import html
import itertools
import os
from pathlib import Path
from typing import Final

from tiphys.apiserver.seams import Context, RawRoute
from tiphys.wire.exchange import Response, Sink

PREFIX: Final = "/logs/"
TEXT: Final = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}
HTML: Final = {"Content-Type": "text/html; charset=utf-8", "X-Content-Type-Options": "nosniff"}
MISSING: Final = Response(404, TEXT, b"404 page not found\n")
PIECE_BYTES: Final = 256 * 1024
ENTRIES_MAX: Final = 10_000


class Logs:
    """The routes, over one directory."""

    def __init__(self, directory: str) -> None:
        self._directory = Path(directory)

    def routes(self) -> list[RawRoute]:
        return [RawRoute("/logs", self._serve), RawRoute(f"{PREFIX}*", self._serve)]

    async def _serve(self, context: Context) -> Response:
        found = await asyncio.to_thread(find, self._directory, context.request.path.removeprefix("/logs").strip("/"))
        if found is None:
            return MISSING
        if isinstance(found, bytes):
            return Response(200, HTML, found)

        async def stream(sink: Sink) -> None:
            await _copy(found, sink)

        return Response(200, TEXT, stream=stream)


def find(directory: Path, relative: str) -> Path | bytes | None:
    """A file, a directory's listing, or None for what is not to be seen."""
    try:
        root = directory.resolve(strict=True)
        path = (root / relative).resolve(strict=True)
        if path != root and root not in path.parents:
            return None
        if path.is_dir():
            return _listing(path)
        # Opening a pipe would wait for its other end.
        return path if path.is_file() else None
    except (OSError, ValueError, RuntimeError):
        return None


def _listing(directory: Path) -> bytes:
    with os.scandir(directory) as entries:
        shown = itertools.islice(entries, ENTRIES_MAX)
        names = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in shown)
    rows = "".join(f'<a href="{html.escape(name)}">{html.escape(name)}</a>\n' for name in names)
    return f"<pre>\n{rows}</pre>\n".encode("utf-8", "replace")


async def _copy(path: Path, sink: Sink) -> None:
    with await asyncio.to_thread(path.open, "rb") as file:
        while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
            sink.write(piece)
            await sink.drain()
