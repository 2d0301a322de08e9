"""Headers that many answers share, with the bytes they become kept beside them."""

from collections.abc import Mapping


class SharedHeaders(dict[str, str]):
    """Never changed once made. ``heads`` holds, by status, what the listener has made of them."""

    __slots__ = ("heads",)

    def __init__(self, headers: Mapping[str, str]) -> None:
        super().__init__(headers)
        self.heads: dict[int, bytes] = {}
