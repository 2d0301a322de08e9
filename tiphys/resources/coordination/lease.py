"""Lease: who holds something, and until when."""

from tiphys.api import coordination_v1
from tiphys.machinery import fields
from tiphys.machinery.fields import FieldError
from tiphys.resources import checks
from tiphys.resources.checks import Errors
from tiphys.resources.columns import AGE, NAME
from tiphys.resources.rules import Column, Resource, Strategy


def validate(lease: coordination_v1.Lease) -> Errors:
    errs: Errors = []
    spec = lease.spec
    if spec.leaseDurationSeconds is not None and spec.leaseDurationSeconds <= 0:
        errs.append(fields.invalid("spec.leaseDurationSeconds", spec.leaseDurationSeconds, checks.POSITIVE))
    checks.not_negative(errs, "spec.leaseTransitions", spec.leaseTransitions)
    if spec.strategy is not None:
        checks.form(errs, "spec.strategy", spec.strategy, _strategy_problems)
    if spec.preferredHolder and not spec.strategy:
        detail = "may only be specified if `strategy` is defined"
        errs.append(fields.forbidden("spec.preferredHolder", detail))
    return errs


def _strategy_problems(value: str) -> tuple[str, ...]:
    return checks.qualified_name(value)


class LeaseStrategy(Strategy[coordination_v1.Lease]):
    """The main endpoint."""

    create_on_update = True
    unconditional_update = False

    def validate_create(self, obj: coordination_v1.Lease) -> list[FieldError]:
        return validate(obj)

    def validate_update(self, obj: coordination_v1.Lease, old: coordination_v1.Lease) -> list[FieldError]:
        return validate(obj)


ROW = Resource(
    group="coordination.k8s.io",
    version="v1",
    kind="Lease",
    plural="leases",
    cls=coordination_v1.Lease,
    strategy=LeaseStrategy(),
    columns=(
        NAME,
        Column("Holder", lambda lease, now: lease.spec.holderIdentity or "", description="Who holds it."),
        AGE,
    ),
)
