"""ValidatingAdmissionPolicy and its bindings.

Source: admissionregistration validation and defaulting of Kubernetes 1.36, by behaviour and messages.
"""

from typing import Any, Final

from tiphys.api import admissionregistration_v1 as api
from tiphys.machinery import fields
from tiphys.resources import checks, subresources
from tiphys.resources.admissionregistration import expressions, matching
from tiphys.resources.admissionregistration.printing import param_kind, param_ref
from tiphys.resources.checks import Errors
from tiphys.resources.columns import AGE, NAME
from tiphys.resources.rules import Column, Resource
from tiphys.resources.strategies import FunctionStatusStrategy, FunctionStrategy

ANNOTATIONS_MAX: Final = 20
VALUE_EXPRESSION_BYTES_MAX: Final = 5 * 1024
REASONS: Final = ("Forbidden", "Invalid", "RequestEntityTooLarge")
ACTIONS: Final = ("Audit", "Deny", "Warn")
BOTH: Final = (
    "must not contain both Deny and Warn (repeating the same validation failure information in the API response and "
    "headers serves no purpose)"
)
ONE_OF_BOTH: Final = "validations or auditAnnotations must contain at least one item"


def default(policy: api.ValidatingAdmissionPolicy) -> None:
    if policy.spec.failurePolicy is None:
        policy.spec.failurePolicy = "Fail"
    matching.default_resources(policy.spec.matchConstraints)


def validate(policy: api.ValidatingAdmissionPolicy, *, conditions: bool = True) -> Errors:
    errs: Errors = []
    spec = policy.spec
    checks.required_one_of(errs, "spec.failurePolicy", spec.failurePolicy, matching.FAILURE_POLICIES)
    matching.param_kind(errs, "spec.paramKind", spec.paramKind)
    matching.match_constraints(errs, "spec.matchConstraints", spec.matchConstraints)
    if conditions:
        params = spec.paramKind is not None
        expressions.match_conditions(errs, "spec.matchConditions", spec.matchConditions, params=params)
    expressions.variables(errs, "spec.variables", spec.variables)
    if not spec.validations and not spec.auditAnnotations:
        errs.append(fields.required("spec.validations", ONE_OF_BOTH))
        errs.append(fields.required("spec.auditAnnotations", ONE_OF_BOTH))
    for index, validation in enumerate(spec.validations or ()):
        _validation(errs, f"spec.validations[{index}]", validation)
    _annotations(errs, "spec.auditAnnotations", policy)
    return errs + expressions.compiled(policy)


def _validation(errs: Errors, path: str, one: api.Validation) -> None:
    expressions.required(errs, f"{path}.expression", one.expression)
    if one.messageExpression and not one.messageExpression.strip():
        problem = fields.invalid(f"{path}.messageExpression", one.messageExpression, "must be non-empty if specified")
        errs.append(problem)
    message = one.message or ""
    if message and not message.strip():
        errs.append(fields.invalid(f"{path}.message", message, "message must be non-empty if specified"))
    elif "\n" in message.strip() or "\r" in message.strip():
        errs.append(fields.invalid(f"{path}.message", message, "message must not contain line breaks"))
    if one.reason is not None:
        checks.one_of(errs, f"{path}.reason", one.reason, REASONS)


def _annotations(errs: Errors, path: str, policy: api.ValidatingAdmissionPolicy) -> None:
    listed = policy.spec.auditAnnotations or []
    if len(listed) > ANNOTATIONS_MAX:
        why = f"must not have more than {ANNOTATIONS_MAX} auditAnnotations"
        errs.append(fields.invalid(path, listed, why))
    for index, one in enumerate(listed):
        where = f"{path}[{index}]"
        if not policy.metadata.name:
            errs.append(fields.invalid(f"{where}.key", one.key, "requires metadata.name be non-empty"))
        else:
            checks.form(errs, f"{where}.key", f"{policy.metadata.name}/{one.key}", checks.qualified_name)
        expression = one.valueExpression.strip()
        if not expression:
            errs.append(fields.required(f"{where}.valueExpression", "valueExpression is not specified"))
        elif len(expression.encode()) > VALUE_EXPRESSION_BYTES_MAX:
            why = f"must not exceed {VALUE_EXPRESSION_BYTES_MAX} bytes in length"
            errs.append(fields.required(f"{where}.valueExpression", why))
    checks.duplicates(errs, lambda index: f"{path}[{index}].key", [one.key for one in listed])


class _Policies(FunctionStrategy):
    """Match conditions that stay as they are are not judged anew."""

    def __init__(self) -> None:
        super().__init__(default, validate, unconditional_update=False)

    def validate_update(self, obj: Any, old: Any) -> Errors:
        new, before = obj.spec, old.spec
        same = (new.paramKind, new.matchConditions) == (before.paramKind, before.matchConditions)
        return validate(obj, conditions=not same)


def validate_status(policy: api.ValidatingAdmissionPolicy) -> Errors:
    errs: Errors = []
    checking = policy.status.typeChecking
    for index, one in enumerate((checking and checking.expressionWarnings) or ()):
        path = f"status.typeChecking.expressionWarnings[{index}]"
        if not one.warning:
            errs.append(fields.required(f"{path}.warning"))
        if not one.fieldRef.strip():
            errs.append(fields.required(f"{path}.fieldRef"))
    return errs


def default_binding(binding: api.ValidatingAdmissionPolicyBinding) -> None:
    matching.default_param_ref(binding.spec.paramRef)
    matching.default_resources(binding.spec.matchResources)


def validate_binding(binding: api.ValidatingAdmissionPolicyBinding) -> Errors:
    errs: Errors = []
    spec = binding.spec
    matching.policy_name(errs, "spec.policyName", spec.policyName)
    matching.param_ref(errs, "spec.paramRef", spec.paramRef)
    if spec.matchResources is not None:
        # The spelling of the path is Kubernetes'.
        matching.match_resources(errs, "spec.matchResouces", spec.matchResources)
    path = "spec.validationActions"
    for index, action in enumerate(spec.validationActions):
        checks.one_of(errs, f"{path}[{index}]", action, ACTIONS)
    checks.duplicates(errs, lambda index: f"{path}[{index}]", spec.validationActions)
    if {"Deny", "Warn"} <= set(spec.validationActions):
        errs.append(fields.invalid(path, spec.validationActions, BOTH))
    if not spec.validationActions:
        errs.append(fields.required(path, "at least one validation action is required"))
    return errs


ROWS: Final = (
    Resource(
        group="admissionregistration.k8s.io",
        version="v1",
        kind="ValidatingAdmissionPolicy",
        plural="validatingadmissionpolicies",
        cls=api.ValidatingAdmissionPolicy,
        strategy=_Policies(),
        namespaced=False,
        categories=("api-extensions",),
        subresources=(subresources.status(FunctionStatusStrategy(default, validate_status)),),
        columns=(
            NAME,
            Column(
                "Validations", lambda each, now: len(each.spec.validations or ()), "integer", description="How many."
            ),
            Column("ParamKind", param_kind, description="The kind of its parameters."),
            AGE,
        ),
    ),
    Resource(
        group="admissionregistration.k8s.io",
        version="v1",
        kind="ValidatingAdmissionPolicyBinding",
        plural="validatingadmissionpolicybindings",
        cls=api.ValidatingAdmissionPolicyBinding,
        strategy=FunctionStrategy(default_binding, validate_binding, unconditional_update=False),
        namespaced=False,
        categories=("api-extensions",),
        columns=(
            NAME,
            Column("PolicyName", lambda each, now: each.spec.policyName, description="The policy that is bound."),
            Column("ParamRef", param_ref, description="The parameters that it gets."),
            AGE,
        ),
    ),
)
