"""Rules, selectors and policies of matching, as all of the group's kinds have them.

Source: admissionregistration validation and defaulting of Kubernetes 1.36, by behaviour and messages.
"""

from collections.abc import Collection, Sequence
from typing import Any, Final

from tiphys.api import admissionregistration_v1, meta_v1
from tiphys.machinery import fields, names
from tiphys.resources import checks
from tiphys.resources.checks import Errors

ALL: Final = "*"
SCOPES: Final = (ALL, "Cluster", "Namespaced")
OPERATIONS: Final = (ALL, "CONNECT", "CREATE", "DELETE", "UPDATE")
#: What is deleted is not there to be changed.
CHANGING: Final = (ALL, "CONNECT", "CREATE", "UPDATE")
FAILURE_POLICIES: Final = ("Fail", "Ignore")
MATCH_POLICIES: Final = ("Equivalent", "Exact")
REINVOCATION_POLICIES: Final = ("IfNeeded", "Never")
NOT_FOUND_ACTIONS: Final = ("Deny", "Allow")


def default_rules(rules: Sequence[Any] | None) -> None:
    for rule in rules or ():
        rule.scope = rule.scope or ALL


def default_selection(selection: Any) -> None:
    """What webhooks and match resources have in common."""
    if selection.matchPolicy is None:
        selection.matchPolicy = "Equivalent"
    if selection.namespaceSelector is None:
        selection.namespaceSelector = meta_v1.LabelSelector()
    if selection.objectSelector is None:
        selection.objectSelector = meta_v1.LabelSelector()


def default_resources(resources: admissionregistration_v1.MatchResources | None) -> None:
    if resources is not None:
        default_selection(resources)
        default_rules(resources.resourceRules)
        default_rules(resources.excludeResourceRules)


def default_param_ref(reference: admissionregistration_v1.ParamRef | None) -> None:
    if reference is not None and reference.parameterNotFoundAction is None:
        reference.parameterNotFoundAction = "Deny"


def rule(errs: Errors, path: str, one: Any, operations: Collection[str] = OPERATIONS) -> None:
    listed = one.operations or []
    if not listed:
        errs.append(fields.required(f"{path}.operations"))
    if len(listed) > 1 and ALL in listed:
        errs.append(
            fields.invalid(f"{path}.operations", listed, "if '*' is present, must not specify other operations")
        )
    for index, operation in enumerate(listed):
        checks.one_of(errs, f"{path}.operations[{index}]", operation, operations)
    _wildcard(errs, f"{path}.apiGroups", one.apiGroups or [], "API groups")
    _wildcard(errs, f"{path}.apiVersions", one.apiVersions or [], "API versions")
    for index, version in enumerate(one.apiVersions or ()):
        if not version:
            errs.append(fields.required(f"{path}.apiVersions[{index}]"))
    _resources(errs, f"{path}.resources", one.resources or [])
    if one.scope is not None:
        checks.one_of(errs, f"{path}.scope", one.scope, SCOPES)


def _wildcard(errs: Errors, path: str, listed: list[str], what: str) -> None:
    if not listed:
        errs.append(fields.required(path))
    if len(listed) > 1 and ALL in listed:
        errs.append(fields.invalid(path, listed, f"if '*' is present, must not specify other {what}"))


def _resources(errs: Errors, path: str, listed: list[str]) -> None:
    if not listed:
        errs.append(fields.required(path))
    whole: set[str] = set()
    everywhere: set[str] = set()
    plain = False
    for index, one in enumerate(listed):
        if not one:
            errs.append(fields.required(f"{path}[{index}]"))
            continue
        resource, slash, sub = one.partition("/")
        if not slash:
            # As in Kubernetes the last one decides.
            plain = one != ALL
            continue
        if resource in whole:
            why = f"if '{resource}/*' is present, must not specify {one}"
            errs.append(fields.invalid(f"{path}[{index}]", one, why))
        if sub in everywhere:
            why = f"if '*/{sub}' is present, must not specify {one}"
            errs.append(fields.invalid(f"{path}[{index}]", one, why))
        if sub == ALL:
            whole.add(resource)
        if resource == ALL:
            everywhere.add(sub)
    if len(listed) > 1 and "*/*" in listed:
        errs.append(fields.invalid(path, listed, "if '*/*' is present, must not specify other resources"))
    if ALL in listed and plain:
        why = "if '*' is present, must not specify other resources without subresources"
        errs.append(fields.invalid(path, listed, why))


def named_rule(errs: Errors, path: str, one: Any, operations: Collection[str] = OPERATIONS) -> None:
    listed = one.resourceNames or []
    for index, name in enumerate(listed):
        checks.form(errs, f"{path}.resourceNames[{index}]", name, checks.path_segment)
    checks.duplicates(errs, lambda index: f"{path}.resourceNames[{index}]", listed)
    rule(errs, path, one, operations)


def match_resources(
    errs: Errors,
    path: str,
    resources: admissionregistration_v1.MatchResources,
    operations: Collection[str] = OPERATIONS,
) -> None:
    checks.required_one_of(errs, f"{path}.matchPolicy", resources.matchPolicy, MATCH_POLICIES)
    for name in ("namespaceSelector", "objectSelector"):
        selector = getattr(resources, name)
        if selector is None:
            errs.append(fields.required(f"{path}.{name}"))
        else:
            checks.label_selector(errs, f"{path}.{name}", selector)
    for name in ("resourceRules", "excludeResourceRules"):
        for index, one in enumerate(getattr(resources, name) or ()):
            named_rule(errs, f"{path}.{name}[{index}]", one, operations)


def match_constraints(
    errs: Errors,
    path: str,
    resources: admissionregistration_v1.MatchResources | None,
    operations: Collection[str] = OPERATIONS,
) -> None:
    """Those of a policy, which must say what it is about."""
    if resources is None:
        errs.append(fields.required(path))
        return
    match_resources(errs, path, resources, operations)
    if not resources.resourceRules:
        errs.append(fields.required(f"{path}.resourceRules"))


def param_kind(errs: Errors, path: str, kind: admissionregistration_v1.ParamKind | None) -> None:
    if kind is None:
        return
    where = f"{path}.apiVersion"
    if not kind.apiVersion:
        errs.append(fields.required(where))
    elif kind.apiVersion.count("/") > 1:
        errs.append(fields.invalid(where, kind.apiVersion, f"unexpected GroupVersion string: {kind.apiVersion}"))
    else:
        group, _, version = kind.apiVersion.rpartition("/")
        if group and (found := checks.dns1123_subdomain(group)):
            errs.append(fields.invalid(where, group, ",".join(found)))
        if not version:
            errs.append(fields.invalid(where, kind.apiVersion, "version must be specified"))
        elif found := checks.dns1035_label(version):
            errs.append(fields.invalid(where, version, ",".join(found)))
    if not kind.kind:
        errs.append(fields.required(f"{path}.kind"))
    elif problems := names.dns1035_label(kind.kind.lower()):
        why = f"may have mixed case, but should otherwise match: {','.join(problems)}"
        errs.append(fields.invalid(f"{path}.kind", kind.kind, why))


def param_ref(errs: Errors, path: str, reference: admissionregistration_v1.ParamRef | None) -> None:
    if reference is None:
        return
    both = "name and selector are mutually exclusive"
    if reference.name:
        checks.form(errs, f"{path}.name", reference.name, checks.path_segment)
        if reference.selector is not None:
            errs.append(fields.forbidden(f"{path}.name", both))
    if reference.selector is not None:
        checks.label_selector(errs, f"{path}.selector", reference.selector)
        if reference.name:
            errs.append(fields.forbidden(f"{path}.selector", both))
    if not reference.name and reference.selector is None:
        errs.append(fields.required(path, "one of name or selector must be specified"))
    checks.required_one_of(
        errs, f"{path}.parameterNotFoundAction", reference.parameterNotFoundAction, NOT_FOUND_ACTIONS
    )


def policy_name(errs: Errors, path: str, name: str | None) -> None:
    checks.required_form(errs, path, name, checks.dns1123_subdomain)
