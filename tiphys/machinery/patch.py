"""Patches on plain dicts and lists: RFC 6902, RFC 7386 and strategic merge.

None of them changes its arguments; the result may share parts with them. What
is nested too deep for Python's stack is refused with 400.
"""

from typing import Any

from tiphys.machinery import errors, jsonpatch, mergepatch, strategic

_TOO_DEEP = "exceeded max depth"


def json_patch(doc: Any, ops: Any) -> Any:
    """See ``jsonpatch.json_patch``."""
    try:
        return jsonpatch.json_patch(doc, ops)
    except RecursionError:
        raise errors.BadRequest(_TOO_DEEP) from None


def merge_patch(doc: Any, patch: Any) -> Any:
    """See ``mergepatch.merge_patch``."""
    try:
        return mergepatch.merge_patch(doc, patch)
    except RecursionError:
        raise errors.BadRequest(_TOO_DEEP) from None


def strategic_merge(cls: type[Any], doc: Any, patch: Any) -> Any:
    """See ``strategic.strategic_merge``."""
    try:
        return strategic.strategic_merge(cls, doc, patch)
    except RecursionError:
        raise errors.BadRequest(_TOO_DEEP) from None
