"""PodTemplate."""

from datetime import datetime
from typing import Any

from tiphys.api import core_v1
from tiphys.machinery import fields
from tiphys.resources import columns
from tiphys.resources.checks import Errors
from tiphys.resources.columns import NAME
from tiphys.resources.core.pod.template import default_template, validate_template
from tiphys.resources.rules import Column, Resource
from tiphys.resources.strategies import FunctionStrategy


def default(obj: core_v1.PodTemplate) -> None:
    if obj.template is not None:
        default_template(obj.template)


def validate(obj: core_v1.PodTemplate) -> Errors:
    errs: Errors = []
    if obj.template is None:
        errs.append(fields.required("template.spec.containers"))
    else:
        validate_template(errs, "template", obj.template)
    return errs


class PodTemplateStrategy(FunctionStrategy):
    """The main endpoint; the template is what generation counts."""

    def spec_changed(self, obj: Any, old: Any) -> bool:
        return bool(obj.template != old.template)


def _joined(obj: core_v1.PodTemplate, field: str) -> str:
    containers = obj.template.spec.containers if obj.template is not None else []
    return columns.joined(getattr(container, field) or "" for container in containers)


def _labels(obj: core_v1.PodTemplate, now: datetime) -> str:
    return columns.labels(obj.template.metadata.labels if obj.template is not None else None)


ROW = Resource(
    group="",
    version="v1",
    kind="PodTemplate",
    plural="podtemplates",
    cls=core_v1.PodTemplate,
    strategy=PodTemplateStrategy(default, validate),
    columns=(
        NAME,
        Column("Containers", lambda obj, now: _joined(obj, "name"), description="Names of its containers."),
        Column("Images", lambda obj, now: _joined(obj, "image"), description="Images of its containers."),
        Column("Pod Labels", _labels, description="Labels of its Pods."),
    ),
)
