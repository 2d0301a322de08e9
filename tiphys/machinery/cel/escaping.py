"""Names of fields as CEL spells them. Source: Kubernetes docs, "Custom Resources", "Validation rules", on escaping."""

import re
from typing import Final

_RESERVED: Final = frozenset(
    {
        *("true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function"),
        *("if", "import", "let", "loop", "package", "namespace", "return"),
    }
)
_ESCAPES: Final = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__", "$": "__dollar__"}
_IDENTIFIER: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
_ESCAPED: Final = re.compile(r"__|[.\-/$]")
_UNESCAPED: Final = re.compile(r"__(underscores|dot|dash|slash|dollar)__")
_BACK: Final = {name.strip("_"): char for char, name in _ESCAPES.items()}


def escape(name: str) -> str | None:
    """CEL's spelling; None for a name that cannot be spelled."""
    if name in _RESERVED:
        return f"__{name}__"
    found = _ESCAPED.sub(lambda match: _ESCAPES[match[0]], name)
    return found if _IDENTIFIER.fullmatch(found) else None


def unescape(name: str) -> str:
    """The name in the data."""
    if name[:2] == "__" and name[-2:] == "__" and name[2:-2] in _RESERVED:
        return name[2:-2]
    return _UNESCAPED.sub(lambda match: _BACK[match[1]], name)
