"""Anything else: every field, its name as words."""

import re
from typing import Any

from tiphys.cli.describe import parts
from tiphys.cli.describe.parts import Dict
from tiphys.cli.describe.writer import Writer
from tiphys.cli.server import Server

#: Shown in other ways, or by nobody's wish.
_SKIPPED = frozenset(
    {".metadata.managedFields", ".metadata.name", ".metadata.namespace", ".metadata.labels", ".metadata.annotations"}
)
_ABBREVIATIONS = {"api": "API", "acl": "ACL", "url": "URL", "uid": "UID"}


def anything(w: Writer, server: Server, obj: Dict) -> None:
    parts.head(w, obj)
    _fields(w, 0, obj, "")
    parts.events(w, server, obj)


def _fields(w: Writer, level: int, content: Dict, path: str) -> None:
    for field in sorted(content):
        value, where = content[field], f"{path}.{field}"
        if where in _SKIPPED:
            continue
        title = _words(field)
        if isinstance(value, dict):
            w.line(level, f"{title}:")
            _fields(w, level + 1, value, where)
        elif isinstance(value, list):
            w.line(level, f"{title}:")
            for item in value:
                if isinstance(item, dict):
                    _fields(w, level + 1, item, where)
                else:
                    w.line(level + 1, _text(item))
        else:
            w.line(level, f"{title}:", _text(value))


def _words(field: str) -> str:
    """``clusterIP`` as ``Cluster IP``; names that are no identifiers (label keys) stay."""
    if "_" in field or " " in field or "." in field or "/" in field or "-" in field:
        return field
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+", field)
    return " ".join(_ABBREVIATIONS.get(word.lower(), word[:1].upper() + word[1:]) for word in words)


def _text(value: Any) -> str:
    if value is None:
        return "<nil>"
    return str(value).lower() if isinstance(value, bool) else str(value)
