"""PriorityClass."""

from tiphys.api import scheduling_v1
from tiphys.machinery import fields
from tiphys.resources import checks
from tiphys.resources.checks import Errors
from tiphys.resources.columns import AGE, NAME
from tiphys.resources.rules import Column, Resource
from tiphys.resources.strategies import FunctionStrategy

HIGHEST = 1_000_000_000
#: The classes that every cluster has.
SYSTEM = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}


def default(priority_class: scheduling_v1.PriorityClass) -> None:
    if priority_class.preemptionPolicy is None:
        priority_class.preemptionPolicy = "PreemptLowerPriority"
    if priority_class.value is None:
        priority_class.value = 0


def validate(priority_class: scheduling_v1.PriorityClass) -> Errors:
    errs: Errors = []
    name, value = priority_class.metadata.name, priority_class.value or 0
    if name.startswith("system-"):
        if SYSTEM.get(name) != value:
            detail = "priority class names with 'system-' prefix are reserved for system use only. error: "
            errs.append(fields.forbidden("metadata.name", detail + f"{name} is not a known system priority class"))
    elif value > HIGHEST:
        detail = f"maximum allowed value of a user defined priority is {HIGHEST}"
        errs.append(fields.forbidden("value", detail))
    checks.required_one_of(errs, "preemptionPolicy", priority_class.preemptionPolicy, ("PreemptLowerPriority", "Never"))
    return errs


def validate_change(priority_class: scheduling_v1.PriorityClass, old: scheduling_v1.PriorityClass) -> Errors:
    errs: Errors = []
    if priority_class.value != old.value:
        errs.append(fields.forbidden("value", "may not be changed in an update."))
    checks.immutable(errs, "preemptionPolicy", priority_class.preemptionPolicy, old.preemptionPolicy)
    return errs


ROW = Resource(
    group="scheduling.k8s.io",
    version="v1",
    kind="PriorityClass",
    plural="priorityclasses",
    cls=scheduling_v1.PriorityClass,
    strategy=FunctionStrategy(default, validate, validate_change),
    namespaced=False,
    short_names=("pc",),
    columns=(
        NAME,
        Column("Value", lambda each, now: each.value or 0, type="integer", description="The priority it gives."),
        Column("Global-Default", lambda each, now: bool(each.globalDefault), type="boolean", description="For all."),
        AGE,
        Column("PreemptionPolicy", lambda each, now: each.preemptionPolicy or "", description="Whether it preempts."),
    ),
)
