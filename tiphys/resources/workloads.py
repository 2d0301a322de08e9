"""What the rules of Deployment, ReplicaSet, StatefulSet, DaemonSet, Job and ReplicationController share."""

from datetime import datetime
from typing import Any

from tiphys.api import core_v1, meta_v1
from tiphys.machinery import fields, selectors
from tiphys.resources import checks, columns
from tiphys.resources.checks import Errors
from tiphys.resources.core.pod.template import validate_workload_template
from tiphys.resources.rules import Column

MISMATCH = "`selector` does not match template `labels`"
NOT_ABOVE_REPLICAS = "cannot be greater than status.replicas"


def validate_selector_and_template(
    errs: Errors, selector: meta_v1.LabelSelector, template: core_v1.PodTemplateSpec | None, kind: str
) -> None:
    """A selector that is empty counts as missing: both look the same once decoded."""
    if checks.is_empty(selector):
        errs.append(fields.required("spec.selector"))
    else:
        checks.label_selector(errs, "spec.selector", selector)
    if template is None:
        errs.append(fields.required("spec.template"))
        return
    if not _matches(selector, template):
        errs.append(fields.invalid("spec.template.metadata.labels", template.metadata.labels, MISMATCH))
    validate_workload_template(errs, "spec.template", template, kind)


def _matches(selector: meta_v1.LabelSelector, template: core_v1.PodTemplateSpec) -> bool:
    if checks.is_empty(selector):
        return False
    problems: Errors = []
    checks.label_selector(problems, "", selector)
    # A malformed selector has been reported already.
    return bool(problems) or selectors.from_label_selector(selector).matches(template.metadata.labels)


def validate_counts(errs: Errors, status: Any, names: tuple[str, ...]) -> None:
    """Counters of a status are not negative."""
    for name in names:
        checks.not_negative(errs, f"status.{name}", getattr(status, name))


def validate_not_above(errs: Errors, status: Any, names: tuple[str, ...], limit: str, detail: str) -> None:
    most = getattr(status, limit) or 0
    for name in names:
        count = getattr(status, name) or 0
        if count > most:
            errs.append(fields.invalid(f"status.{name}", count, detail))


def validate_ready_counts(errs: Errors, status: Any, more: tuple[str, ...]) -> None:
    """What all statuses with readyReplicas and availableReplicas obey; ``more`` are further counters."""
    counters = ("replicas", *more, "readyReplicas", "availableReplicas", "observedGeneration")
    validate_counts(errs, status, counters)
    validate_not_above(errs, status, (*more, "readyReplicas", "availableReplicas"), "replicas", NOT_ABOVE_REPLICAS)
    validate_not_above(errs, status, ("availableReplicas",), "readyReplicas", "cannot be greater than readyReplicas")


def _selector(obj: Any, now: datetime) -> str:
    return columns.label_selector(obj.spec.selector)


SELECTOR = Column("Selector", _selector, priority=1, description="Which Pods belong to it.")
TEMPLATE_COLUMNS = (columns.CONTAINERS, columns.IMAGES)
