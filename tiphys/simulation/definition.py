"""The CustomResourceDefinition of Simulations."""

from typing import Any

from tiphys.simulation.simulations import GROUP, KIND, PLURAL, VERSION


def _amount(text: str) -> dict[str, Any]:
    return {"x-kubernetes-int-or-string": True, "description": text}


def _list_of(kind: str, text: str) -> dict[str, Any]:
    return {"type": "array", "items": {"type": kind}, "description": text}


_STRINGS = {"type": "object", "additionalProperties": {"type": "string"}}
_EXPRESSION = {
    "type": "object",
    "required": ["key", "operator"],
    "properties": {
        "key": {"type": "string"},
        "operator": {"type": "string", "enum": ["In", "NotIn", "Exists", "DoesNotExist"]},
        "values": {"type": "array", "items": {"type": "string"}},
    },
}
_SELECTOR = {
    "type": "object",
    "description": "Which, by their labels; all if it is empty.",
    "properties": {"matchLabels": _STRINGS, "matchExpressions": {"type": "array", "items": _EXPRESSION}},
}
_PODS = {
    "type": "object",
    "description": "What containers do; annotations of a Pod win.",
    "properties": {
        "selector": _SELECTOR,
        "namespaces": _list_of("string", "In which namespaces; in all if there is none."),
        "containers": _list_of("string", "Which containers, by name; all if there is none."),
        "startSeconds": _amount("From the decision to start until the process runs."),
        "runSeconds": _amount('How long it runs; "forever" for ever.'),
        "exitCodes": {
            "type": "array",
            "items": {"type": "integer", "minimum": 0, "maximum": 255},
            "description": "How it ends by itself, one after another, the last for ever.",
        },
        "readyAfterSeconds": _amount("When readiness and startup probes begin to pass."),
        "unreadyAfterSeconds": _amount("When the readiness probe begins to fail again."),
        "unhealthyAfterSeconds": _amount("When the liveness probe begins to fail."),
        "stopSeconds": _amount("From TERM to the end."),
        "fail": {"type": "string", "enum": ["image", "create", "start", "oom"], "description": "What goes wrong."},
        "cpu": _amount("What it uses, such as 250m."),
        "memory": _amount("What it uses, such as 64Mi."),
        "log": {"type": "string", "description": "What it writes when it starts."},
        "logEverySeconds": _amount("It writes that again and again."),
    },
}
_FAILURE = {
    "type": "object",
    "properties": {
        "afterSeconds": {"type": "number", "minimum": 0, "description": "From the creation of the Simulation."},
        "forSeconds": {"type": "number", "minimum": 0, "description": "For ever, if it is not said."},
    },
}
_NODES = {
    "type": "object",
    "description": "What happens to nodes.",
    "properties": {
        "selector": _SELECTOR,
        "failures": {"type": "array", "items": _FAILURE, "description": "When they lose power."},
    },
}
_STATUS = {
    "type": "object",
    "properties": {
        "observedGeneration": {"type": "integer"},
        "matchingPods": {"type": "integer"},
        "matchingNodes": {"type": "integer"},
        "failedNodes": {"type": "integer"},
        "message": {"type": "string"},
    },
}
_SCHEMA = {
    "type": "object",
    "description": "What simulated Pods and nodes do.",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "priority": {"type": "integer", "description": "The higher wins, field by field."},
                "pods": _PODS,
                "nodes": _NODES,
            },
        },
        "status": _STATUS,
    },
}
_COLUMNS = (
    ("Pods", "integer", ".status.matchingPods"),
    ("Nodes", "integer", ".status.matchingNodes"),
    ("Failed", "integer", ".status.failedNodes"),
    ("Message", "string", ".status.message"),
    ("Age", "date", ".metadata.creationTimestamp"),
)

DEFINITION: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"{PLURAL}.{GROUP}"},
    "spec": {
        "group": GROUP,
        "scope": "Cluster",
        "names": {"kind": KIND, "plural": PLURAL, "singular": "simulation", "shortNames": ["sim"]},
        "versions": [
            {
                "name": VERSION,
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": _SCHEMA},
                "additionalPrinterColumns": [
                    {"name": name, "type": kind, "jsonPath": path} for name, kind, path in _COLUMNS
                ],
            }
        ],
    },
}
