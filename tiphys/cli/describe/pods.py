"""Pods, and the templates that workloads make them from."""

from tiphys.cli.describe import parts
from tiphys.cli.describe.containers import containers, resources
from tiphys.cli.describe.parts import NONE, Dict
from tiphys.cli.describe.volumes import volumes
from tiphys.cli.describe.writer import Writer
from tiphys.cli.server import Server


def pod(w: Writer, server: Server, obj: Dict) -> None:
    spec, status = obj["spec"], obj.get("status") or {}
    parts.names(w, obj)
    if spec.get("priority") is not None:
        w.line(0, "Priority:", spec["priority"])
    for title, field in (
        ("Priority Class Name", "priorityClassName"),
        ("Runtime Class Name", "runtimeClassName"),
        ("Service Account", "serviceAccountName"),
    ):
        if spec.get(field):
            w.line(0, f"{title}:", spec[field])
    w.line(0, "Node:", f"{spec['nodeName']}/{status.get('hostIP', '')}" if spec.get("nodeName") else NONE)
    if status.get("startTime"):
        w.line(0, "Start Time:", parts.time_text(status["startTime"]))
    parts.pairs(w, "Labels:", obj["metadata"].get("labels"))
    parts.annotations(w, "Annotations:", obj["metadata"].get("annotations"))
    _phase(w, obj, status)
    _seccomp(w, spec)
    _addresses(w, status)
    if owner := parts.controller(obj):
        w.line(0, "Controlled By:", owner)
    if status.get("nominatedNodeName"):
        w.line(0, "NominatedNodeName:", status["nominatedNodeName"])
    resources(w, spec.get("resources") or {}, level=0)
    containers(w, "Init Containers", spec.get("initContainers"), obj, status.get("initContainerStatuses"))
    containers(w, "Containers", spec.get("containers"), obj, status.get("containerStatuses"))
    containers(
        w, "Ephemeral Containers", spec.get("ephemeralContainers"), obj, status.get("ephemeralContainerStatuses")
    )
    _gates(w, spec, status)
    if status.get("conditions"):
        w.line(0, "Conditions:")
        w.line(1, "Type", "Status")
        for condition in status["conditions"]:
            w.line(1, f"{condition['type']} ", f"{condition['status']} ")
    volumes(w, spec.get("volumes"), template=False)
    w.line(0, "QoS Class:", status.get("qosClass", ""))
    placement(w, spec, 0)
    parts.events(w, server, obj)


def template(w: Writer, found: Dict) -> None:
    """The Pod template of a workload."""
    metadata, spec = found.get("metadata") or {}, found.get("spec") or {}
    w.line(0, "Pod Template:")
    parts.pairs(w, "Labels:", metadata.get("labels"), 1)
    if metadata.get("annotations"):
        parts.annotations(w, "Annotations:", metadata["annotations"], 1)
    if spec.get("serviceAccountName"):
        w.line(1, "Service Account:", spec["serviceAccountName"])
    containers(w, "Init Containers", spec.get("initContainers"), None)
    containers(w, "Containers", spec.get("containers"), None)
    volumes(w, spec.get("volumes"), template=True)
    if spec.get("priorityClassName"):
        w.line(1, "Priority Class Name:", spec["priorityClassName"])
    placement(w, spec, 1)


def placement(w: Writer, spec: Dict, level: int) -> None:
    """Where it may run."""
    parts.pairs(w, "Node-Selectors:", spec.get("nodeSelector"), level)
    tolerations = sorted(spec.get("tolerations") or (), key=lambda found: str(found.get("key", "")))
    parts.several(w, "Tolerations:", [_toleration(found) for found in tolerations], level)
    if spreads := spec.get("topologySpreadConstraints"):
        parts.several(w, "Topology Spread Constraints:", [_spread(found) for found in spreads], level)


def _phase(w: Writer, obj: Dict, status: Dict) -> None:
    metadata = obj["metadata"]
    phase = status.get("phase", "")
    if metadata.get("deletionTimestamp") and phase not in ("Failed", "Succeeded"):
        w.line(0, "Status:", f"Terminating (lasts {parts.since(metadata['deletionTimestamp'])})")
        w.line(0, "Termination Grace Period:", f"{metadata.get('deletionGracePeriodSeconds', 0)}s")
    else:
        w.line(0, "Status:", phase)
    for title, field in (("Reason", "reason"), ("Message", "message")):
        if status.get(field):
            w.line(0, f"{title}:", status[field])


def _seccomp(w: Writer, spec: Dict) -> None:
    profile = (spec.get("securityContext") or {}).get("seccompProfile")
    if profile:
        w.line(0, "SeccompProfile:", profile["type"])
        if profile.get("localhostProfile"):
            w.line(1, "LocalhostProfile:", profile["localhostProfile"])


def _addresses(w: Writer, status: Dict) -> None:
    w.line(0, "IP:", status.get("podIP", ""))
    if not status.get("podIPs"):
        w.line(0, "IPs:", NONE)
        return
    w.line(0, "IPs:")
    for address in status["podIPs"]:
        w.line(1, "IP:", address.get("ip", ""))


def _gates(w: Writer, spec: Dict, status: Dict) -> None:
    if not spec.get("readinessGates"):
        return
    known = {condition["type"]: condition["status"] for condition in status.get("conditions") or ()}
    w.line(0, "Readiness Gates:")
    w.line(1, "Type", "Status")
    for gate in spec["readinessGates"]:
        w.line(1, f"{gate['conditionType']} ", f"{known.get(gate['conditionType'], NONE)} ")


def _toleration(found: Dict) -> str:
    value, effect = found.get("value"), found.get("effect")
    text = found.get("key", "") + (f"={value}" if value else "") + (f":{effect}" if effect else "")
    if found.get("operator") == "Exists" and not value:
        text += " op=Exists" if text else "op=Exists"
    seconds = found.get("tolerationSeconds")
    return text if seconds is None else f"{text} for {seconds}s"


def _spread(found: Dict) -> str:
    text = f"{found['topologyKey']}:{found['whenUnsatisfiable']} when max skew {found['maxSkew']} is exceeded"
    if found.get("labelSelector"):
        text += f" for selector {parts.selector_text(found['labelSelector'])}"
    return text
