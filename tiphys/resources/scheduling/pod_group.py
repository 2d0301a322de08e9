"""PodGroup: Pods that are scheduled together, made from a template of a Workload or on its own.

Alpha: served with ``--runtime-config`` and its feature gate. Source: KEP-4671 Gang Scheduling.
"""

from datetime import datetime

from tiphys.api import scheduling_v1alpha2
from tiphys.machinery import fields
from tiphys.resources import checks, subresources
from tiphys.resources.checks import Errors
from tiphys.resources.columns import AGE, NAME
from tiphys.resources.rules import Column, Resource
from tiphys.resources.scheduling import pod_groups
from tiphys.resources.scheduling.workload import GATE
from tiphys.resources.strategies import FunctionStatusStrategy, FunctionStrategy

FROZEN = ("podGroupTemplateRef", "schedulingPolicy", "schedulingConstraints", "resourceClaims", "priorityClassName")


def validate(group: scheduling_v1alpha2.PodGroup) -> Errors:
    errs: Errors = []
    reference = group.spec.podGroupTemplateRef
    if reference is not None:
        here = "spec.podGroupTemplateRef"
        if reference.workload is None:
            errs.append(fields.invalid(here, "", "must specify one of: `workload`"))
        else:
            for name in ("workloadName", "podGroupTemplateName"):
                problems = checks.dns1123_subdomain if name == "workloadName" else checks.dns1123_label
                checks.required_form(errs, f"{here}.workload.{name}", getattr(reference.workload, name), problems)
    pod_groups.group(errs, "spec", group.spec)
    return errs


def validate_change(group: scheduling_v1alpha2.PodGroup, old: scheduling_v1alpha2.PodGroup) -> Errors:
    errs: Errors = []
    for name in FROZEN:
        checks.immutable(errs, f"spec.{name}", getattr(group.spec, name), getattr(old.spec, name))
    return errs


def _workload(group: scheduling_v1alpha2.PodGroup, now: datetime) -> str:
    reference = group.spec.podGroupTemplateRef
    return reference.workload.workloadName if reference and reference.workload else "<none>"


def _policy(group: scheduling_v1alpha2.PodGroup, now: datetime) -> str:
    return "gang" if group.spec.schedulingPolicy.gang else "basic"


ROW = Resource(
    group="scheduling.k8s.io",
    version="v1alpha2",
    kind="PodGroup",
    plural="podgroups",
    cls=scheduling_v1alpha2.PodGroup,
    strategy=FunctionStrategy(None, validate, validate_change),
    subresources=(subresources.status(FunctionStatusStrategy()),),
    columns=(
        NAME,
        Column("Policy", _policy, description="How its Pods are scheduled."),
        Column("Workload", _workload, priority=1, description="What it was made from."),
        AGE,
    ),
    optional=True,
    feature_gate=GATE,
)
