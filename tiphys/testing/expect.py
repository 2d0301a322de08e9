"""Whether an object is as a test wants it. Pure."""

from collections.abc import Callable
from typing import Any

from tiphys.machinery import codec

#: ``Available``, ``Ready=False``, ``status.phase=Running``, ``exists``, ``gone``, or a function.
Wanted = str | Callable[[Any], Any]


def is_so(obj: Any, wanted: Wanted) -> bool:
    """``obj`` is None if there is no such object."""
    if wanted == "gone":
        return obj is None
    if obj is None:
        return False
    if wanted == "exists":
        return True
    if callable(wanted):
        return bool(wanted(obj))
    name, _, text = wanted.partition("=")
    found = obj if isinstance(obj, dict) else codec.to_builtins(obj)
    if "." in name:
        return _text(_field(found, name)) == text
    return _condition(found, name, text or "True")


def _condition(obj: dict[str, Any], kind: str, status: str) -> bool:
    """A condition that speaks of the object as it is now, not of an earlier spec."""
    state = obj.get("status") or {}
    generation = (obj.get("metadata") or {}).get("generation", 0)
    if state.get("observedGeneration", generation) < generation:
        return False
    return any(c.get("type") == kind and c.get("status") == status for c in state.get("conditions") or ())


def _field(obj: Any, path: str) -> Any:
    for part in path.removeprefix(".").split("."):
        if not isinstance(obj, dict):
            return None
        obj = obj.get(part)
    return obj


def _text(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
