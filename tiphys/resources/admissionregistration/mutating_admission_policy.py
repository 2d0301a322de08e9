"""MutatingAdmissionPolicy and its bindings.

Source: admissionregistration validation and defaulting of Kubernetes 1.36, by behaviour and messages; KEP-3962.
"""

from collections.abc import Mapping
from typing import Any, Final

from tiphys.api import admissionregistration_v1 as api
from tiphys.machinery import fields
from tiphys.resources import checks
from tiphys.resources.admissionregistration import expressions, matching
from tiphys.resources.admissionregistration.printing import param_kind, param_ref
from tiphys.resources.checks import Errors
from tiphys.resources.columns import AGE, NAME
from tiphys.resources.rules import Column, Resource
from tiphys.resources.strategies import FunctionStrategy

#: Field by type of patch.
PATCHES: Final[Mapping[str, str]] = {"ApplyConfiguration": "applyConfiguration", "JSONPatch": "jsonPatch"}


def default(policy: api.MutatingAdmissionPolicy) -> None:
    if policy.spec.failurePolicy is None:
        policy.spec.failurePolicy = "Fail"
    matching.default_resources(policy.spec.matchConstraints)


def validate(policy: api.MutatingAdmissionPolicy, *, conditions: bool = True) -> Errors:
    errs: Errors = []
    spec = policy.spec
    checks.required_one_of(errs, "spec.failurePolicy", spec.failurePolicy, matching.FAILURE_POLICIES)
    matching.param_kind(errs, "spec.paramKind", spec.paramKind)
    matching.match_constraints(errs, "spec.matchConstraints", spec.matchConstraints, matching.CHANGING)
    if conditions:
        params = spec.paramKind is not None
        expressions.match_conditions(errs, "spec.matchConditions", spec.matchConditions, params=params)
    expressions.variables(errs, "spec.variables", spec.variables)
    if not spec.mutations:
        errs.append(fields.required("spec.mutations", "mutations must contain at least one item"))
    for index, mutation in enumerate(spec.mutations or ()):
        _mutation(errs, f"spec.mutations[{index}]", mutation)
    checks.required_one_of(errs, "spec.reinvocationPolicy", spec.reinvocationPolicy, matching.REINVOCATION_POLICIES)
    return errs + expressions.compiled(policy)


def _mutation(errs: Errors, path: str, mutation: api.Mutation) -> None:
    checks.required_one_of(errs, f"{path}.patchType", mutation.patchType, tuple(PATCHES))
    if mutation.patchType not in PATCHES:
        return
    for kind, field in PATCHES.items():
        where, given = f"{path}.{field}", getattr(mutation, field)
        if kind != mutation.patchType:
            if given is not None:
                why = f"must not be specified when patchType is {mutation.patchType}"
                errs.append(fields.forbidden(where, why))
        elif given is None:
            errs.append(fields.required(where, f"must be specified when patchType is {mutation.patchType}"))
        else:
            expressions.required(errs, f"{where}.expression", given.expression)


class _Policies(FunctionStrategy):
    """Match conditions that stay as they are are not judged anew."""

    def __init__(self) -> None:
        super().__init__(default, validate, unconditional_update=False)

    def validate_update(self, obj: Any, old: Any) -> Errors:
        new, before = obj.spec, old.spec
        same = (new.paramKind, new.matchConditions) == (before.paramKind, before.matchConditions)
        return validate(obj, conditions=not same)


def default_binding(binding: api.MutatingAdmissionPolicyBinding) -> None:
    matching.default_param_ref(binding.spec.paramRef)
    matching.default_resources(binding.spec.matchResources)


def validate_binding(binding: api.MutatingAdmissionPolicyBinding) -> Errors:
    errs: Errors = []
    spec = binding.spec
    matching.policy_name(errs, "spec.policyName", spec.policyName)
    matching.param_ref(errs, "spec.paramRef", spec.paramRef)
    if spec.matchResources is not None:
        # The spelling of the path is Kubernetes'.
        matching.match_resources(errs, "spec.matchResouces", spec.matchResources, matching.CHANGING)
    return errs


ROWS: Final = (
    Resource(
        group="admissionregistration.k8s.io",
        version="v1",
        kind="MutatingAdmissionPolicy",
        plural="mutatingadmissionpolicies",
        cls=api.MutatingAdmissionPolicy,
        strategy=_Policies(),
        namespaced=False,
        categories=("api-extensions",),
        columns=(
            NAME,
            Column("Mutations", lambda each, now: len(each.spec.mutations or ()), "integer", description="How many."),
            Column("ParamKind", param_kind, description="The kind of its parameters."),
            AGE,
        ),
    ),
    Resource(
        group="admissionregistration.k8s.io",
        version="v1",
        kind="MutatingAdmissionPolicyBinding",
        plural="mutatingadmissionpolicybindings",
        cls=api.MutatingAdmissionPolicyBinding,
        strategy=FunctionStrategy(default_binding, validate_binding, unconditional_update=False),
        namespaced=False,
        categories=("api-extensions",),
        columns=(
            NAME,
            Column("PolicyName", lambda each, now: each.spec.policyName or "", description="The policy that is bound."),
            Column("ParamRef", param_ref, description="The parameters that it gets."),
            AGE,
        ),
    ),
)
