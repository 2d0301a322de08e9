"""Deployments and ReplicaSets."""

from tiphys.cli.describe import parts
from tiphys.cli.describe.parts import NONE, Dict
from tiphys.cli.describe.pods import template
from tiphys.cli.describe.writer import Writer
from tiphys.cli.server import Server

HASH = "pod-template-hash"


def deployment(w: Writer, server: Server, obj: Dict) -> None:
    spec, status = obj["spec"], obj.get("status") or {}
    parts.names(w, obj)
    w.line(0, "CreationTimestamp:", parts.time_text(obj["metadata"].get("creationTimestamp")))
    parts.pairs(w, "Labels:", obj["metadata"].get("labels"))
    parts.annotations(w, "Annotations:", obj["metadata"].get("annotations"))
    w.line(0, "Selector:", parts.selector_text(spec.get("selector")))
    counts = {
        "desired": spec.get("replicas", 1),
        "updated": status.get("updatedReplicas", 0),
        "total": status.get("replicas", 0),
        "available": status.get("availableReplicas", 0),
        "unavailable": status.get("unavailableReplicas", 0),
    }
    w.line(0, "Replicas:", " | ".join(f"{count} {word}" for word, count in counts.items()))
    strategy = spec.get("strategy") or {}
    w.line(0, "StrategyType:", strategy.get("type", ""))
    w.line(0, "MinReadySeconds:", spec.get("minReadySeconds", 0))
    if rolling := strategy.get("rollingUpdate"):
        text = f"{rolling.get('maxUnavailable')} max unavailable, {rolling.get('maxSurge')} max surge"
        w.line(0, "RollingUpdateStrategy:", text)
    template(w, spec["template"])
    parts.conditions(w, status.get("conditions"))
    old, new = _replica_sets(server, obj)
    w.line(0, "OldReplicaSets:", ", ".join(old) or NONE)
    w.line(0, "NewReplicaSet:", new or NONE)
    parts.events(w, server, obj)


def _replica_sets(server: Server, obj: Dict) -> tuple[list[str], str]:
    """The ReplicaSets of a Deployment: earlier ones, and the one of its template."""
    owned = _owned(server, obj, "/apis/apps/v1", "replicasets")
    owned.sort(key=lambda found: (found["metadata"].get("creationTimestamp", ""), found["metadata"]["name"]))
    wanted = _without_hash(obj["spec"]["template"])
    new = next((found for found in owned if _without_hash(found["spec"]["template"]) == wanted), None)
    return [_created(found) for found in owned if found is not new], _created(new) if new else ""


def _created(found: Dict) -> str:
    have = (found.get("status") or {}).get("replicas", 0)
    return f"{found['metadata']['name']} ({have}/{found['spec'].get('replicas', 1)} replicas created)"


def _without_hash(found: Dict) -> Dict:
    metadata = found.get("metadata") or {}
    labels = {key: text for key, text in (metadata.get("labels") or {}).items() if key != HASH}
    return found | {"metadata": metadata | {"labels": labels}}


def replica_set(w: Writer, server: Server, obj: Dict) -> None:
    spec, status = obj["spec"], obj.get("status") or {}
    parts.names(w, obj)
    w.line(0, "Selector:", parts.selector_text(spec.get("selector")))
    parts.pairs(w, "Labels:", obj["metadata"].get("labels"))
    parts.annotations(w, "Annotations:", obj["metadata"].get("annotations"))
    if owner := parts.controller(obj):
        w.line(0, "Controlled By:", owner)
    w.line(0, "Replicas:", f"{status.get('replicas', 0)} current / {spec.get('replicas', 1)} desired")
    phases = [(found.get("status") or {}).get("phase") for found in _owned(server, obj, "/api/v1", "pods")]
    counts = {"Running": "Running", "Waiting": "Pending", "Succeeded": "Succeeded", "Failed": "Failed"}
    w.line(0, "Pods Status:", " / ".join(f"{phases.count(phase)} {word}" for word, phase in counts.items()))
    template(w, spec["template"])
    parts.conditions(w, status.get("conditions"))
    parts.events(w, server, obj)


def _owned(server: Server, obj: Dict, root: str, plural: str) -> list[Dict]:
    """Objects that ``obj`` controls."""
    labels = parts.selector_text(obj["spec"].get("selector"))
    found = server.get(f"{root}/namespaces/{obj['metadata']['namespace']}/{plural}", {"labelSelector": labels})
    uid = obj["metadata"].get("uid")
    return [
        item
        for item in found.get("items") or ()
        if any(o.get("uid") == uid and o.get("controller") for o in item["metadata"].get("ownerReferences") or ())
    ]
