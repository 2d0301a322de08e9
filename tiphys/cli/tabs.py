"""Columns by elastic tab stops: a column is as wide as its widest cell in consecutive lines that have it.

Text cells end with a tab; what follows the last tab of a line belongs to no
column and moves nothing. Kubernetes' tools print with it, so ours line up alike.
"""


def align(text: str, padding: int, minimum: int = 0) -> str:
    """``text`` with its tabs turned into spaces."""
    lines = [line.split("\t") for line in text.split("\n")]
    out: list[str] = []
    _format(lines, 0, len(lines), [], out, padding, minimum)
    return "\n".join(out)


def _format(
    lines: list[list[str]], start: int, end: int, widths: list[int], out: list[str], padding: int, minimum: int
) -> None:
    """Write lines ``start`` to ``end``, whose first columns have ``widths``."""
    column = len(widths)
    at = start
    while at < end:
        if column >= len(lines[at]) - 1:
            out.append(_line(lines[at], widths))
            at += 1
            continue
        block = at
        while block < end and column < len(lines[block]) - 1:
            block += 1
        width = max(minimum, *(len(line[column]) + padding for line in lines[at:block]))
        _format(lines, at, block, [*widths, width], out, padding, minimum)
        at = block


def _line(cells: list[str], widths: list[int]) -> str:
    parts = [cell + " " * (width - len(cell)) for cell, width in zip(cells, widths, strict=False)]
    return "".join([*parts, *cells[len(widths) :]])
