"""Workload: the groups of Pods that a workload consists of, and how each is scheduled.

Alpha: served with ``--runtime-config`` and its feature gate. Source: KEP-4671 Gang Scheduling.
"""

from tiphys.api import scheduling_v1alpha2
from tiphys.machinery import fields
from tiphys.resources import checks
from tiphys.resources.checks import Errors
from tiphys.resources.columns import AGE, NAME
from tiphys.resources.rules import Resource
from tiphys.resources.scheduling import pod_groups
from tiphys.resources.strategies import FunctionStrategy

TEMPLATES_MAX = 8
GATE = "GenericWorkload"


def validate(workload: scheduling_v1alpha2.Workload) -> Errors:
    errs: Errors = []
    spec = workload.spec
    owner = spec.controllerRef
    if owner is not None:
        if owner.apiGroup:
            checks.form(errs, "spec.controllerRef.apiGroup", owner.apiGroup, checks.dns1123_subdomain)
        for name in ("kind", "name"):
            checks.required_form(errs, f"spec.controllerRef.{name}", getattr(owner, name), checks.path_segment)
    here = "spec.podGroupTemplates"
    if not spec.podGroupTemplates:
        errs.append(fields.required(here, "must have at least one item"))
    if len(spec.podGroupTemplates) > TEMPLATES_MAX:
        errs.append(fields.too_many(here, len(spec.podGroupTemplates), TEMPLATES_MAX))
    names = [template.name for template in spec.podGroupTemplates]
    checks.duplicates(errs, lambda index: f"{here}[{index}]", names)
    for index, template in enumerate(spec.podGroupTemplates):
        checks.required_form(errs, f"{here}[{index}].name", template.name, checks.dns1123_label)
        pod_groups.group(errs, f"{here}[{index}]", template)
    return errs


def validate_change(workload: scheduling_v1alpha2.Workload, old: scheduling_v1alpha2.Workload) -> Errors:
    errs: Errors = []
    if old.spec.controllerRef is not None:
        checks.immutable(errs, "spec.controllerRef", workload.spec.controllerRef, old.spec.controllerRef)
    here = "spec.podGroupTemplates"
    checks.immutable(errs, here, workload.spec.podGroupTemplates, old.spec.podGroupTemplates)
    return errs


ROW = Resource(
    group="scheduling.k8s.io",
    version="v1alpha2",
    kind="Workload",
    plural="workloads",
    cls=scheduling_v1alpha2.Workload,
    strategy=FunctionStrategy(None, validate, validate_change),
    columns=(NAME, AGE),
    optional=True,
    feature_gate=GATE,
)
