"""What of a Pod's status differs, as a strategic merge patch. Pure."""

from typing import Any

from tiphys.kubelet import resize

#: Lists that a strategic patch would merge where the kubelet means to replace them.
_REPLACED = ("podIPs", "hostIPs")
#: Conditions of the kubelet that go when what they say is over.
_PASSING = (resize.PENDING, resize.IN_PROGRESS)


def patch(uid: str, old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any] | None:
    """What turns ``old`` into ``new``, for exactly the Pod ``uid``; None if nothing does."""
    changed: dict[str, Any] = {}
    for field in {*old, *new}:
        before, after = old.get(field), new.get(field)
        if before == after:
            continue
        if field == "conditions":
            known = {c["type"]: c for c in before or ()}
            changed[field] = [_nulled(known.get(c["type"]), c) for c in after or () if known.get(c["type"]) != c]
            kept = {c["type"] for c in after or ()}
            # Others' conditions are left alone: they may have been written again since.
            changed[field] += [{"type": t, "$patch": "delete"} for t in _PASSING if t in known and t not in kept]
        elif field in _REPLACED and after is not None and before:
            changed[field] = [*after, {"$patch": "replace"}]
        else:
            changed[field] = after
    return {"metadata": {"uid": uid}, "status": changed} if changed else None


def _nulled(before: dict[str, Any] | None, after: dict[str, Any]) -> dict[str, Any]:
    """``after`` with null for what it does not have any more."""
    return {field: None for field in before or () if field not in after} | after
