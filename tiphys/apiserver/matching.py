"""Label and field selectors of a request, applied to cache entries."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from tiphys.apiserver.entries import Entry, View
from tiphys.machinery import errors, selectors
from tiphys.resources.rules import Resource

_META: Final = ("metadata.name", "metadata.namespace")


class Matcher:
    """What a list or watch selects. ``name`` is set where a field selector names one object."""

    __slots__ = ("_fields", "_labels", "_readers", "_view", "empty", "exact", "name")

    def __init__(self, view: View, labels: selectors.Selector, fields: selectors.FieldSelector) -> None:
        self._view = view
        self._labels = None if labels.empty else labels
        self._fields = None if fields.empty else fields
        self._readers: Mapping[str, Callable[[Any], str]] = view.row.fields
        self.empty = self._labels is None and self._fields is None
        #: The value that a field must have, if the selector says so.
        self.exact = fields.exact
        self.name = fields.exact("metadata.name") or ""

    def matches(self, entry: Entry) -> bool:
        if self._labels is not None and not self._labels.matches(entry.labels):
            return False
        return self._fields is None or self._fields.matches(self._values(entry))

    def _values(self, entry: Entry) -> Mapping[str, str]:
        """All selectable fields of an entry, read once; the decoded object is not kept for it."""
        key = (self._view, "fields")
        values: dict[str, str] | None = entry.memo.get(key)
        if values is None:
            values = {"metadata.name": entry.name, "metadata.namespace": entry.namespace}
            if self._readers:
                obj = self._view.bare(entry)
                values.update((name, read(obj)) for name, read in self._readers.items())
            entry.memo[key] = values
        return values


def matcher(view: View, label_text: str, field_text: str) -> Matcher:
    """The matcher of two selector texts; raises BadRequest."""
    try:
        labels = selectors.parse_labels(label_text)
        fields = selectors.parse_fields(field_text)
    except selectors.SelectorError as problem:
        raise errors.BadRequest(str(problem)) from problem
    for requirement in fields.requirements:
        if requirement.field not in _META and requirement.field not in view.row.fields:
            raise errors.BadRequest(_unsupported(view.row, label_text, field_text, requirement.field))
    return Matcher(view, labels, fields)


def _unsupported(row: Resource, label_text: str, field_text: str, field: str) -> str:
    where = f"{row.group}/{row.version}, Resource={row.plural}"
    return (
        f'Unable to find "{where}" that match label selector "{label_text}", field selector "{field_text}": '
        f"field label not supported: {field}"
    )
