"""JSON merge patch. Source: RFC 7386."""

from typing import Any


def merge_patch(doc: Any, patch: Any) -> Any:
    """``doc`` with ``patch`` merged in: null deletes, objects merge, all else replaces."""
    if not isinstance(patch, dict):
        return patch
    result = dict(doc) if isinstance(doc, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict):
            result[name] = merge_patch(result.get(name), value)
        else:
            result[name] = value
    return result
