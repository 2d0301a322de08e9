"""The bridge between client-side and server-side apply: kubectl's annotation with what it has applied last.

Source: Kubernetes docs, "Server-Side Apply", "Upgrading from client-side apply to server-side apply".
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from tiphys.machinery import apply as ssa
from tiphys.machinery import codec, fieldsets, merging, structure
from tiphys.machinery.fieldsets import Fields
from tiphys.machinery.structure import Node

ANNOTATION: Final = "kubectl.kubernetes.io/last-applied-configuration"
MANAGER: Final = "kubectl"
ANNOTATIONS_BYTES_MAX: Final = 256 * 1024
_sorted: Final = msgspec.json.Encoder(order="sorted")

Attempt = Callable[[bool], tuple[Any, ssa.Managed]]


def _annotation(obj: Any) -> str:
    metadata = obj.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    text = annotations.get(ANNOTATION) if isinstance(annotations, dict) else None
    return text if isinstance(text, str) else ""


def settle(node: Node, live: Any, writer: ssa.Writer, conflicts: ssa.Conflicts, attempt: Attempt) -> Any:
    """Apply by force if all conflicts are with kubectl's own earlier applies; raises Conflicts with the others."""
    allowed = _allowed(node, live, writer.version) if writer.manager == MANAGER else None
    if allowed is None:
        raise conflicts
    left = {key: rest for key, found in conflicts.found.items() if (rest := fieldsets.difference(found, allowed))}
    if left:
        raise ssa.Conflicts(left) from conflicts
    return attempt(True)


def _allowed(node: Node, live: Any, version: str) -> Fields | None:
    """The fields that the annotation says and that are still so; None if there is no annotation."""
    text = _annotation(live)
    if not text:
        return None
    try:
        last = codec.decode_builtins(text.encode())
        if not isinstance(last, dict) or last.get("apiVersion") != version:
            return None
        merging.check(node, last)
    except (codec.DecodeError, merging.Misfit):
        return None
    fields = structure.configured(node, last)
    for changed in structure.compare(node, last, live):
        fields = fieldsets.difference(fields, changed)
    return fields


def renewed(obj: Any, config: Any, manager: str) -> Any:
    """``obj`` with the annotation saying ``config``, if it has the annotation and kubectl applies."""
    if manager != MANAGER or not _annotation(obj):
        return obj
    applied = {**config, "metadata": dict(config.get("metadata") or {})}
    annotations = dict(applied["metadata"].get("annotations") or {})
    if annotations.pop(ANNOTATION, None) is not None:
        applied["metadata"]["annotations"] = annotations
    text = _sorted.encode(applied).decode() + "\n"
    metadata = dict(obj["metadata"])
    metadata["annotations"] = {**metadata["annotations"], ANNOTATION: text}
    if sum(len(key) + len(value) for key, value in metadata["annotations"].items()) > ANNOTATIONS_BYTES_MAX:
        del metadata["annotations"][ANNOTATION]
    return {**obj, "metadata": metadata}
