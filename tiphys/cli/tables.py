"""Tables as the server makes them (``meta.k8s.io/v1`` Table), printed in columns."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tiphys.cli.output import MINIMUM, PADDING
from tiphys.cli.tabs import align

ACCEPT = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
_BREAK = re.compile(r"[\f\n\r]")


@dataclass(frozen=True, slots=True)
class Style:
    """What is shown besides the server's own columns."""

    wide: bool = False
    headers: bool = True
    namespaces: bool = False
    labels: bool = False
    label_columns: tuple[str, ...] = ()


class TablePrinter:
    """Prints the tables of one resource; ``prefix`` (``pod/``) goes before names where several are mixed.

    Later tables, which a watch brings, repeat no header and never get narrower columns.
    """

    def __init__(self, style: Style, prefix: str = "") -> None:
        self._style = style
        self._prefix = prefix
        self._columns: Sequence[dict[str, Any]] = ()
        self._begun = False

    def render(self, table: dict[str, Any], events: str = "") -> str:
        """The table's lines; ``events`` is a word for a column of its own."""
        self._columns = table.get("columnDefinitions") or self._columns
        shown = [n for n, column in enumerate(self._columns) if self._style.wide or not column.get("priority")]
        rows = [self._row(row, shown, events) for row in table.get("rows") or ()]
        if self._style.headers and not self._begun:
            rows.insert(0, [*self._headers(shown, events)])
        self._begun = True
        return align("".join("\t".join(row) + "\n" for row in rows), PADDING, MINIMUM)

    def _headers(self, shown: list[int], events: str) -> Iterator[str]:
        if events:
            yield "EVENT"
        if self._style.namespaces:
            yield "NAMESPACE"
        yield from (str(self._columns[n]["name"]).upper() for n in shown)
        yield from (key.rpartition("/")[2].upper() for key in self._style.label_columns)
        if self._style.labels:
            yield "LABELS"

    def _row(self, row: dict[str, Any], shown: list[int], events: str) -> list[str]:
        metadata = (row.get("object") or {}).get("metadata") or {}
        labels = metadata.get("labels") or {}
        cells = [_cell(row["cells"][n]) for n in shown]
        if self._prefix:
            named = next((i for i, n in enumerate(shown) if self._columns[n].get("format") == "name"), 0)
            cells[named] = self._prefix + cells[named]
        first = [events] * bool(events) + [str(metadata.get("namespace", ""))] * self._style.namespaces
        last = [labels.get(key, "") for key in self._style.label_columns]
        if self._style.labels:
            last.append(",".join(f"{key}={labels[key]}" for key in sorted(labels)) or "<none>")
        return [*first, *cells, *last]


def _cell(value: Any) -> str:
    """One line of it: what breaks lines would break the table."""
    if value is None:
        return "<none>"
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    broken = _BREAK.search(text)
    return f"{text[: broken.start()]}..." if broken else text
