"""Continue tokens: where the next page of a list begins, and at which revision.

A token without a revision (0) continues an expired list from its key on, in the
state of now: inconsistent, but complete for what has not changed.
Source: Kubernetes docs, "Kubernetes API Concepts", "Retrieving large results sets in chunks".
"""

import base64
import binascii
from typing import Final, NamedTuple

import msgspec

from tiphys.api import meta_v1
from tiphys.machinery import errors

VERSION: Final = "meta.k8s.io/v1"
TOO_OLD: Final = (
    "The provided continue parameter is too old to display a consistent list result. "
    "You can start a new list without the continue parameter, or use the continue token in this response "
    "to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - "
    "objects that were created, modified, or deleted between the time the first chunk was returned and now may show "
    "up in the list."
)


class Position(NamedTuple):
    """``start`` is the first key of the page, relative to the list's prefix."""

    revision: int
    start: str


def encode(position: Position) -> str:
    """The token that leads to ``position``."""
    text = msgspec.json.encode({"v": VERSION, "rv": position.revision or -1, "start": position.start})
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def decode(token: str) -> Position:
    """Where a client's token leads; raises BadRequest."""
    try:
        text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        found = msgspec.json.decode(text)
        version, revision, start = found["v"], found["rv"], found["start"]
    except (binascii.Error, msgspec.MsgspecError, KeyError, TypeError, ValueError) as problem:
        raise errors.BadRequest(f"continue key is not valid: {problem}") from problem
    if version != VERSION or not isinstance(revision, int) or not isinstance(start, str) or revision == 0 or not start:
        raise errors.BadRequest("continue key is not valid: incorrect encoded start resourceVersion or key")
    return Position(max(revision, 0), start)


class ExpiredPage(errors.Expired):
    """410 with a token that continues in the state of now."""

    def __init__(self, start: str) -> None:
        super().__init__(TOO_OLD)
        self._start = start

    def status(self) -> meta_v1.Status:
        status = super().status()
        status.metadata = meta_v1.ListMeta(continue_=encode(Position(0, self._start)))
        return status
