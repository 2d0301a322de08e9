"""Text in levels of two spaces and columns that line up."""

from collections.abc import Iterable
from typing import Any

from tiphys.cli.tabs import align

PADDING = 2


class Writer:
    """Collects lines; ``text()`` is what they look like."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def line(self, level: int, *cells: Any) -> None:
        self._lines.append("  " * level + "\t".join(str(cell) for cell in cells))

    def table(self, level: int, headers: Iterable[str], rows: Iterable[Iterable[Any]], gap: str = "") -> None:
        """Headers, dashes below them, rows; ``gap`` goes after each cell of a row but the last."""
        titles = [*headers]
        self.line(level, *titles)
        self.line(level, *("-" * len(title) for title in titles))
        for row in rows:
            *cells, last = row
            self.line(level, *(f"{cell}{gap}" for cell in cells), last)

    def text(self) -> str:
        return align("\n".join(self._lines) + "\n", PADDING)
