"""JSON patch: a list of operations, all or none.

What the operations do not touch is shared with the result; the document given
is not changed. Where Kubernetes departs from the RFC, so does this: negative
indexes count from the end, ``replace`` of an absent field adds it, ``copy`` of
an absent one copies null, and an absent one passes a ``test`` for null.
Source: RFC 6902, RFC 6901; limits and errors by Kubernetes' behaviour.
"""

from typing import Any, Final

from tiphys.machinery import errors
from tiphys.machinery.goformat import json_kind

MAX_OPERATIONS: Final = 10_000
#: Bytes that all ``copy`` operations of one patch may add.
MAX_COPIED_BYTES: Final = 3 * 1024 * 1024


class _Failed(ValueError):
    """The patch does not apply."""


def json_patch(doc: Any, ops: Any) -> Any:
    """The patched document.

    Raises errors.BadRequest if ``ops`` is not a patch, errors.Rejected (422) if
    it does not apply, errors.RequestEntityTooLarge for too many operations.
    """
    _check(ops)
    work = _Document(doc)
    try:
        for op in ops:
            work.apply(op)
    except _Failed as error:
        raise errors.Rejected(str(error)) from None
    return work.root


def _check(ops: Any) -> None:
    if not isinstance(ops, list):
        raise errors.BadRequest(f"json: cannot unmarshal {json_kind(ops)} into Go value of type jsonpatch.Patch")
    for op in ops:
        if not isinstance(op, dict):
            raise errors.BadRequest(f"json: cannot unmarshal {json_kind(op)} into Go value of type jsonpatch.Operation")
    if len(ops) > MAX_OPERATIONS:
        raise errors.RequestEntityTooLarge(
            f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(ops)}"
        )


class _Document:
    """A document that copies each container once, when it is first changed."""

    def __init__(self, root: Any) -> None:
        self.root = root
        #: Containers made here, by identity; holding them keeps the identities unique.
        self._own: dict[int, Any] = {}
        self._copied_bytes = 0

    def apply(self, op: dict[str, Any]) -> None:
        kind = op.get("op")
        if kind not in ("add", "remove", "replace", "move", "copy", "test"):
            raise _Failed(f"Unexpected kind: {kind if isinstance(kind, str) else 'unknown'}")
        if op.get("path") == "" and kind in ("replace", "test"):
            self._whole(kind, op.get("value"))
            return
        path = _pointer(op, "path", kind)
        if kind == "add":
            self._add(path, op.get("value"))
        elif kind == "remove":
            self._remove(path)
        elif kind == "replace":
            self._replace(path, op.get("value"))
        elif kind == "test":
            self._test(path, op.get("value"))
        else:
            self._transfer(kind, _pointer(op, "from", kind), path)

    def _whole(self, kind: str, value: Any) -> None:
        """The operations that may speak of the whole document."""
        if kind == "test":
            if not same(self.root, value):
                raise _Failed("testing value  failed")
        elif not isinstance(value, dict | list):
            raise _Failed("replace operation hit type mismatch: the whole document must be an object or a list")
        else:
            self.root = value

    def _transfer(self, kind: str, source: list[str], path: list[str]) -> None:
        value = self._value(source)
        if kind == "move":
            self._remove(source)
        else:
            self._copied_bytes += _size(value, MAX_COPIED_BYTES - self._copied_bytes)
            if self._copied_bytes > MAX_COPIED_BYTES:
                raise _Failed(
                    f"Unable to complete the copy, the accumulated size increase of copy is {self._copied_bytes}, "
                    f"exceeding the limit {MAX_COPIED_BYTES}"
                )
            # Both places now hold one value, so neither may be changed in place any more.
            self._disown(value)
        self._add(path, value)

    def _disown(self, value: Any) -> None:
        if self._own.pop(id(value), None) is not None:
            for item in value.values() if isinstance(value, dict) else value:
                self._disown(item)

    def _owned(self, value: Any) -> Any:
        """``value`` itself if made here, else a copy that is."""
        if id(value) in self._own:
            return value
        copy = value.copy()
        self._own[id(copy)] = copy
        return copy

    def _container(self, path: list[str]) -> Any:
        """What holds the last step, to read."""
        place = self.root
        for step in path[:-1]:
            place = _get(place, step)
            if not isinstance(place, dict | list):
                raise _Failed(f'operation does not apply: doc is missing path: "/{"/".join(path)}"')
        return place

    def _value(self, path: list[str]) -> Any:
        """The value at ``path``; None for a field that is not there."""
        place = self._container(path)
        return place.get(path[-1]) if isinstance(place, dict) else _get(place, path[-1])

    def _writable(self, path: list[str]) -> Any:
        """The same, to change: each container on the way is our own."""
        self._container(path)
        self.root = place = self._owned(self.root)
        for step in path[:-1]:
            child = self._owned(_get(place, step))
            place[_index(place, step) if isinstance(place, list) else step] = child
            place = child
        return place

    def _add(self, path: list[str], value: Any) -> None:
        place, step = self._writable(path), path[-1]
        if isinstance(place, dict):
            place[step] = value
        elif step == "-":
            place.append(value)
        else:
            place.insert(_index(place, step, len(place) + 1), value)

    def _remove(self, path: list[str]) -> None:
        place, step = self._writable(path), path[-1]
        _get(place, step)
        del place[_index(place, step) if isinstance(place, list) else step]

    def _replace(self, path: list[str], value: Any) -> None:
        place, step = self._writable(path), path[-1]
        place[_index(place, step) if isinstance(place, list) else step] = value

    def _test(self, path: list[str], value: Any) -> None:
        if not same(self._value(path), value):
            raise _Failed(f"testing value /{'/'.join(path)} failed")


def _pointer(op: dict[str, Any], field: str, kind: str) -> list[str]:
    text = op.get(field)
    if not isinstance(text, str):
        raise _Failed(f"{kind} operation failed to decode {field}")
    # What stands before the first slash is not looked at.
    _, *steps = text.split("/")
    if not steps:
        raise _Failed(f'{kind} operation does not apply: doc is missing path: "{text}"')
    return [step.replace("~1", "/").replace("~0", "~") for step in steps]


def _get(place: Any, step: str) -> Any:
    if isinstance(place, dict):
        if step not in place:
            raise _Failed(f"unable to get nonexistent key: {step}: missing value")
        return place[step]
    return place[_index(place, step)]


def _index(place: list[Any], step: str, size: int | None = None) -> int:
    """A list index; ``size`` is one more than the list's for insertions."""
    size = len(place) if size is None else size
    digits = step[1:] if step[:1] in ("-", "+") else step
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 18:
        raise _Failed(f"value was not a proper array index: '{step}'")
    index = int(step)
    if not -size <= index < size:
        raise _Failed(f"Unable to access invalid index: {index}: invalid index referenced")
    return index + size if index < 0 else index


def same(a: Any, b: Any) -> bool:
    """Equality of JSON values: true is not 1."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(json_kind(a) == json_kind(b) and a == b)


def _size(value: Any, limit: int) -> int:
    """About the bytes that ``value`` takes as JSON; counting stops above ``limit``."""
    total = 0
    rest = [value]
    while rest and total <= limit:
        item = rest.pop()
        if isinstance(item, dict):
            rest.extend(item.values())
            total += 2 + sum(len(key) + 4 for key in item)
        elif isinstance(item, list):
            rest.extend(item)
            total += 2 + len(item)
        else:
            total += len(item) + 2 if isinstance(item, str) else 5
    return total
