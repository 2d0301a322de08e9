"""A published custom resource, as tests need it."""

from collections.abc import Mapping
from typing import Any

from tiphys.api import meta_v1
from tiphys.apiserver.aggregation.catalog import Published
from tiphys.resources import subresources
from tiphys.resources.rules import Resource, Strategy, Subresource

GROUP = "stable.example.com"
SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "description": "A job at times.",
    "properties": {
        "spec": {
            "type": "object",
            "required": ["cron", "note"],
            "properties": {
                "cron": {"type": "string", "pattern": "^.+$", "description": "When it runs."},
                "note": {"type": "string", "nullable": True},
                "replicas": {"type": "integer", "minimum": 1, "maximum": 10, "default": 1},
                "port": {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {"a": {}}},
                "list": {
                    "type": "array",
                    "x-kubernetes-list-type": "set",
                    "items": {"type": "string", "maxLength": 3},
                },
                "template": {"type": "object", "x-kubernetes-embedded-resource": True, "properties": {}},
            },
            "x-kubernetes-validations": [{"rule": "self.replicas > 0"}],
        }
    },
}


def cron_tab(
    version: str = "v1", schema: Mapping[str, Any] | None = SCHEMA, kind: str = "CronTab", plural: str = "crontabs"
) -> Published:
    scale = Subresource("scale", ("get", "patch", "update"), "autoscaling", "v1", "Scale")
    row: Resource = Resource(
        GROUP,
        version,
        kind,
        plural,
        meta_v1.Status,
        Strategy(),
        short_names=("ct",),
        categories=("all",),
        subresources=(subresources.status(Strategy()), scale),
    )
    return Published(row, schema)
