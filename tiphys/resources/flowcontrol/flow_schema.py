"""FlowSchema. The mandatory ones stay as they are."""

from datetime import datetime

from tiphys.api import flowcontrol_v1
from tiphys.machinery import fields
from tiphys.resources import checks, subresources
from tiphys.resources.checks import Errors
from tiphys.resources.columns import AGE, NAME
from tiphys.resources.flowcontrol import mandatory
from tiphys.resources.rules import Column, Resource
from tiphys.resources.strategies import FunctionStatusStrategy, FunctionStrategy

PRECEDENCE = 1000
PRECEDENCE_MAX = 10000


def default(schema: flowcontrol_v1.FlowSchema) -> None:
    if schema.spec.matchingPrecedence is None:
        schema.spec.matchingPrecedence = PRECEDENCE


def validate(schema: flowcontrol_v1.FlowSchema) -> Errors:
    errs: Errors = []
    spec = schema.spec
    precedence = spec.matchingPrecedence or 0
    if precedence <= 0:
        errs.append(fields.invalid("spec.matchingPrecedence", precedence, "must be a positive value"))
    if precedence > PRECEDENCE_MAX:
        detail = f"must not be greater than {PRECEDENCE_MAX}"
        errs.append(fields.invalid("spec.matchingPrecedence", precedence, detail))
    if spec.distinguisherMethod is not None:
        kinds = ("ByNamespace", "ByUser")
        checks.one_of(errs, "spec.distinguisherMethod.type", spec.distinguisherMethod.type, kinds)
    checks.required_form(
        errs,
        "spec.priorityLevelConfiguration.name",
        spec.priorityLevelConfiguration.name,
        checks.dns1123_subdomain,
        "must reference a priority level",
    )
    name = schema.metadata.name
    fixed = {one.metadata.name: one.spec for one in mandatory.mandatory_schemas()}
    if name in fixed and spec != fixed[name]:
        errs.append(fields.invalid("spec", spec, f"spec of '{name}' must equal the fixed value"))
    return errs


def _method(schema: flowcontrol_v1.FlowSchema, now: datetime) -> str:
    method = schema.spec.distinguisherMethod
    return method.type if method is not None else "<none>"


def _missing(schema: flowcontrol_v1.FlowSchema, now: datetime) -> str:
    for condition in schema.status.conditions or ():
        if condition.type == "Dangling":
            return condition.status or "?"
    return "?"


ROW = Resource(
    group="flowcontrol.apiserver.k8s.io",
    version="v1",
    kind="FlowSchema",
    plural="flowschemas",
    cls=flowcontrol_v1.FlowSchema,
    strategy=FunctionStrategy(default, validate),
    namespaced=False,
    subresources=(subresources.status(FunctionStatusStrategy(default)),),
    columns=(
        NAME,
        Column("PriorityLevel", lambda each, now: each.spec.priorityLevelConfiguration.name, description="Its level."),
        Column(
            "MatchingPrecedence", lambda each, now: each.spec.matchingPrecedence or 0, description="Lower is first."
        ),
        Column("DistinguisherMethod", _method, description="How flows are told apart."),
        AGE,
        Column("MissingPL", _missing, description="Whether its level is missing."),
    ),
)
