"""What was applied last, kept in an annotation of the object itself."""

import json
from typing import Any

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

Dict = dict[str, Any]

#: Go's JSON encoder writes these so; both tools must write the same text.
_ESCAPED = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})


def annotated(obj: Dict) -> Dict:
    """``obj`` with itself (but for this annotation) in the annotation."""
    metadata = obj["metadata"]
    others = {key: text for key, text in (metadata.get("annotations") or {}).items() if key != LAST_APPLIED}
    bare = obj | {"metadata": metadata | {"annotations": others}}
    text = json.dumps(bare, sort_keys=True, separators=(",", ":"), ensure_ascii=False).translate(_ESCAPED) + "\n"
    return obj | {"metadata": metadata | {"annotations": others | {LAST_APPLIED: text}}}


def last_applied(obj: Dict) -> Dict | None:
    """What was applied to a live object; None if nobody did."""
    text = (obj["metadata"].get("annotations") or {}).get(LAST_APPLIED)
    if text is None:
        return None
    found = json.loads(text) if text else {}
    return found if isinstance(found, dict) else {}
