"""PodDisruptionBudget."""

from tiphys.api import policy_v1
from tiphys.machinery import fields
from tiphys.resources import checks, subresources
from tiphys.resources.checks import Errors
from tiphys.resources.columns import AGE, NAME
from tiphys.resources.rules import Column, Resource
from tiphys.resources.strategies import FunctionStatusStrategy, FunctionStrategy

POLICIES = ("AlwaysAllow", "IfHealthyBudget")


def validate(budget: policy_v1.PodDisruptionBudget) -> Errors:
    errs: Errors = []
    spec = budget.spec
    if spec.minAvailable is not None and spec.maxUnavailable is not None:
        errs.append(fields.invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set"))
    for name in ("minAvailable", "maxUnavailable"):
        value = getattr(spec, name)
        if value is not None:
            checks.int_or_percent(errs, f"spec.{name}", value)
            checks.not_above_100_percent(errs, f"spec.{name}", value)
    checks.label_selector(errs, "spec.selector", spec.selector)
    if spec.unhealthyPodEvictionPolicy is not None:
        checks.one_of(errs, "spec.unhealthyPodEvictionPolicy", spec.unhealthyPodEvictionPolicy, POLICIES)
    return errs


def _or_none(value: int | str | None) -> str:
    return "N/A" if value is None else str(value)


ROW = Resource(
    group="policy",
    version="v1",
    kind="PodDisruptionBudget",
    plural="poddisruptionbudgets",
    cls=policy_v1.PodDisruptionBudget,
    strategy=FunctionStrategy(None, validate, unconditional_update=False),
    short_names=("pdb",),
    subresources=(subresources.status(FunctionStatusStrategy()),),
    columns=(
        NAME,
        Column("Min Available", lambda pdb, now: _or_none(pdb.spec.minAvailable), description="How many stay."),
        Column("Max Unavailable", lambda pdb, now: _or_none(pdb.spec.maxUnavailable), description="How many may go."),
        Column(
            "Allowed Disruptions",
            lambda pdb, now: pdb.status.disruptionsAllowed or 0,
            type="integer",
            description="How many may go now.",
        ),
        AGE,
    ),
)
