"""PriorityLevelConfiguration. The mandatory ones stay as they are, but for the shares of the exempt one."""

from datetime import datetime
from typing import Final

import msgspec

from tiphys.api import flowcontrol_v1
from tiphys.machinery import fields
from tiphys.resources import checks, subresources
from tiphys.resources.checks import Errors
from tiphys.resources.columns import AGE, NAME
from tiphys.resources.flowcontrol import mandatory
from tiphys.resources.rules import Column, Resource
from tiphys.resources.strategies import FunctionStatusStrategy, FunctionStrategy

EXEMPT: Final = "exempt"
SHARES = 30
QUEUES = {"handSize": 8, "queueLengthLimit": 50, "queues": 64}


def default(level: flowcontrol_v1.PriorityLevelConfiguration) -> None:
    exempt, limited = level.spec.exempt, level.spec.limited
    if exempt is not None:
        exempt.nominalConcurrencyShares = exempt.nominalConcurrencyShares or 0
        exempt.lendablePercent = exempt.lendablePercent or 0
    if limited is None:
        return
    if limited.nominalConcurrencyShares is None:
        limited.nominalConcurrencyShares = SHARES
    limited.lendablePercent = limited.lendablePercent or 0
    queuing = limited.limitResponse.queuing if limited.limitResponse is not None else None
    for name, value in QUEUES.items():
        if queuing is not None and getattr(queuing, name) is None:
            setattr(queuing, name, value)


def validate(level: flowcontrol_v1.PriorityLevelConfiguration) -> Errors:
    errs: Errors = []
    spec = level.spec
    checks.one_of(errs, "spec.type", spec.type, ("Exempt", "Limited"))
    if spec.type == "Limited" and spec.limited is None:
        errs.append(fields.required("spec.limited", "must not be empty when type is Limited"))
    if spec.type == "Exempt" and spec.limited is not None:
        errs.append(fields.forbidden("spec.limited", "must be nil if the type is not Limited"))
    if spec.type == "Limited" and spec.exempt is not None:
        errs.append(fields.forbidden("spec.exempt", "must be nil if the type is Limited"))
    if spec.limited is not None:
        checks.not_negative(errs, "spec.limited.nominalConcurrencyShares", spec.limited.nominalConcurrencyShares)
        response = spec.limited.limitResponse
        if response is None or response.type not in ("Queue", "Reject"):
            shown = response.type if response is not None else ""
            errs.append(fields.not_supported("spec.limited.limitResponse.type", shown, ("Queue", "Reject")))
    return errs + _fixed(level)


def _fixed(level: flowcontrol_v1.PriorityLevelConfiguration) -> Errors:
    """Mandatory levels stay as they are, but for the shares of the exempt one."""
    errs: Errors = []
    name, spec = level.metadata.name, level.spec
    if (name == EXEMPT) != (spec.type == "Exempt"):
        errs.append(fields.invalid("spec.type", spec.type, "type must be 'Exempt' if and only if `name` is 'exempt'"))
    for one in mandatory.mandatory_levels():
        if one.metadata.name != name:
            continue
        wanted = one.spec
        if name == EXEMPT and spec != msgspec.structs.replace(wanted, exempt=spec.exempt):
            detail = f"spec of '{name}' except the 'spec.exempt' field must equal the fixed value"
            errs.append(fields.invalid("spec", spec, detail))
        elif name != EXEMPT and spec != wanted:
            errs.append(fields.invalid("spec", spec, f"spec of '{name}' must equal the fixed value"))
    return errs


def _queuing(level: flowcontrol_v1.PriorityLevelConfiguration, name: str) -> str:
    limited = level.spec.limited
    response = limited.limitResponse if limited is not None else None
    queuing = response.queuing if response is not None else None
    return str(getattr(queuing, name) or 0) if queuing is not None else "<none>"


def _shares(level: flowcontrol_v1.PriorityLevelConfiguration, now: datetime) -> str:
    settings = level.spec.limited or level.spec.exempt
    return str(settings.nominalConcurrencyShares or 0) if settings is not None else "<none>"


ROW = Resource(
    group="flowcontrol.apiserver.k8s.io",
    version="v1",
    kind="PriorityLevelConfiguration",
    plural="prioritylevelconfigurations",
    cls=flowcontrol_v1.PriorityLevelConfiguration,
    strategy=FunctionStrategy(default, validate),
    namespaced=False,
    subresources=(subresources.status(FunctionStatusStrategy(default)),),
    columns=(
        NAME,
        Column("Type", lambda each, now: each.spec.type, description="Whether it limits."),
        Column("NominalConcurrencyShares", _shares, description="Its share."),
        Column("Queues", lambda each, now: _queuing(each, "queues"), description="How many queues."),
        Column("HandSize", lambda each, now: _queuing(each, "handSize"), description="Queues of one flow."),
        Column("QueueLengthLimit", lambda each, now: _queuing(each, "queueLengthLimit"), description="Their length."),
        AGE,
    ),
)
