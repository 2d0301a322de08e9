"""Validation of what the scheduler reads: affinities, tolerations, spread, gates."""

from collections.abc import Sequence

from tiphys.api import core_v1, meta_v1
from tiphys.machinery import fields
from tiphys.resources import checks
from tiphys.resources.checks import Errors

EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
#: ``Lt`` and ``Gt`` are behind a feature gate that is off.
OPERATORS = ("Equal", "Exists")
UNSATISFIABLE = ("DoNotSchedule", "ScheduleAnyway")
INCLUSION = ("Honor", "Ignore")
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def validate_tolerations(errs: Errors, path: str, tolerations: Sequence[core_v1.Toleration]) -> None:
    for index, toleration in enumerate(tolerations):
        operator, effect = toleration.operator or "", toleration.effect or ""
        if toleration.key:
            if checks.qualified_name(toleration.key):
                checks.form(errs, f"{path}[{index}].key", toleration.key, checks.qualified_name)
        elif operator != "Exists":
            detail = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            errs.append(fields.invalid(f"{path}[{index}].operator", operator, detail))
        if toleration.tolerationSeconds is not None and effect != "NoExecute":
            detail = "effect must be 'NoExecute' when `tolerationSeconds` is set"
            errs.append(fields.invalid(f"{path}[{index}].effect", effect, detail))
        _toleration_value(errs, f"{path}[{index}].operator", operator, toleration.value or "")
        if effect and effect not in EFFECTS:
            checks.one_of(errs, f"{path}[{index}].effect", effect, EFFECTS)


def _toleration_value(errs: Errors, path: str, operator: str, value: str) -> None:
    if operator in ("Equal", ""):
        problems = checks.label_value(value)
        if problems:
            errs.append(fields.invalid(path, value, ";".join(problems)))
    elif operator == "Exists":
        if value:
            errs.append(fields.invalid(path, value, "value must be empty when `operator` is 'Exists'"))
    elif operator not in OPERATORS:
        checks.one_of(errs, path, operator, OPERATORS)


def validate_taints(errs: Errors, path: str, taints: Sequence[core_v1.Taint]) -> None:
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(taints):
        here = f"{path}[{index}]"
        checks.form(errs, f"{here}.key", taint.key, checks.qualified_name)
        for message in checks.label_value(taint.value or ""):
            errs.append(fields.invalid(f"{here}.value", taint.value, message))
        checks.required_one_of(errs, f"{here}.effect", taint.effect, EFFECTS)
        key = (taint.key, taint.effect)
        if key in seen:
            error = fields.duplicate(here, taint)
            error.detail = "taints must be unique by key and effect pair"
            errs.append(error)
        seen.add(key)


def validate_affinity(errs: Errors, path: str, affinity: core_v1.Affinity) -> None:
    node = affinity.nodeAffinity
    if node is not None:
        here = f"{path}.nodeAffinity"
        if node.requiredDuringSchedulingIgnoredDuringExecution is not None:
            validate_node_selector(errs, f"{here}.{REQUIRED}", node.requiredDuringSchedulingIgnoredDuringExecution)
        for index, term in enumerate(node.preferredDuringSchedulingIgnoredDuringExecution or ()):
            _weight(errs, f"{here}.{PREFERRED}[{index}].weight", term.weight)
            _node_term(errs, f"{here}.{PREFERRED}[{index}].preference", term.preference, values=False)
    for field, group in (("podAffinity", affinity.podAffinity), ("podAntiAffinity", affinity.podAntiAffinity)):
        if group is None:
            continue
        here = f"{path}.{field}"
        for index, required in enumerate(group.requiredDuringSchedulingIgnoredDuringExecution or ()):
            _pod_term(errs, f"{here}.{REQUIRED}[{index}]", required)
        for index, weighted in enumerate(group.preferredDuringSchedulingIgnoredDuringExecution or ()):
            _weight(errs, f"{here}.{PREFERRED}[{index}].weight", weighted.weight)
            _pod_term(errs, f"{here}.{PREFERRED}[{index}].podAffinityTerm", weighted.podAffinityTerm)


def _weight(errs: Errors, path: str, weight: int) -> None:
    if not 0 < weight <= 100:
        errs.append(fields.invalid(path, weight, "must be in the range 1-100"))


def validate_node_selector(errs: Errors, path: str, selector: core_v1.NodeSelector) -> None:
    here = f"{path}.nodeSelectorTerms"
    if not selector.nodeSelectorTerms:
        errs.append(fields.required(here, "must have at least one node selector term"))
    for index, term in enumerate(selector.nodeSelectorTerms):
        _node_term(errs, f"{here}[{index}]", term, values=True)


def _node_term(errs: Errors, path: str, term: core_v1.NodeSelectorTerm, *, values: bool) -> None:
    for index, requirement in enumerate(term.matchExpressions or ()):
        _node_requirement(errs, f"{path}.matchExpressions[{index}]", requirement, values=values)
    for index, requirement in enumerate(term.matchFields or ()):
        _node_field(errs, f"{path}.matchFields[{index}]", requirement)


def _node_requirement(errs: Errors, path: str, requirement: core_v1.NodeSelectorRequirement, *, values: bool) -> None:
    operator, given = requirement.operator, requirement.values or ()
    if operator in ("In", "NotIn"):
        if not given:
            errs.append(fields.required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
    elif operator in ("Exists", "DoesNotExist"):
        if given:
            detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            errs.append(fields.forbidden(f"{path}.values", detail))
    elif operator in ("Gt", "Lt"):
        if len(given) != 1:
            detail = "must be specified single value when `operator` is 'Lt' or 'Gt'"
            errs.append(fields.required(f"{path}.values", detail))
    else:
        errs.append(fields.invalid(f"{path}.operator", operator, "not a valid selector operator"))
    checks.form(errs, f"{path}.key", requirement.key, checks.qualified_name)
    if values:
        for index, value in enumerate(given):
            checks.form(errs, f"{path}.values[{index}]", value, checks.label_value)


def _node_field(errs: Errors, path: str, requirement: core_v1.NodeSelectorRequirement) -> None:
    given = requirement.values or ()
    if requirement.operator not in ("In", "NotIn"):
        errs.append(fields.invalid(f"{path}.operator", requirement.operator, "not a valid selector operator"))
    elif len(given) != 1:
        detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        errs.append(fields.required(f"{path}.values", detail))
    if requirement.key != "metadata.name":
        errs.append(fields.invalid(f"{path}.key", requirement.key, "not a valid field selector key"))
        return
    for index, value in enumerate(given):
        checks.form(errs, f"{path}.values[{index}]", value, checks.dns1123_subdomain)


def _pod_term(errs: Errors, path: str, term: core_v1.PodAffinityTerm) -> None:
    checks.label_selector(errs, f"{path}.labelSelector", term.labelSelector)
    checks.label_selector(errs, f"{path}.namespaceSelector", term.namespaceSelector)
    for name in term.namespaces or ():
        checks.form(errs, f"{path}.namespace", name, checks.dns1123_label)
    _label_keys(errs, path, term)
    if not term.topologyKey:
        errs.append(fields.required(f"{path}.topologyKey", "can not be empty"))
    checks.form(errs, f"{path}.topologyKey", term.topologyKey, checks.qualified_name)


def _label_keys(errs: Errors, path: str, term: core_v1.PodAffinityTerm) -> None:
    for field in ("matchLabelKeys", "mismatchLabelKeys"):
        keys = getattr(term, field) or ()
        if keys and term.labelSelector is None:
            errs.append(fields.forbidden(f"{path}.{field}", "must not be specified when labelSelector is not set"))
        for index, key in enumerate(keys):
            checks.form(errs, f"{path}.{field}[{index}]", key, checks.qualified_name)
    for index, key in enumerate(term.matchLabelKeys or ()):
        if key in (term.mismatchLabelKeys or ()):
            detail = "exists in both matchLabelKeys and mismatchLabelKeys"
            errs.append(fields.invalid(f"{path}.matchLabelKeys[{index}]", key, detail))


def validate_spread(errs: Errors, path: str, constraints: Sequence[core_v1.TopologySpreadConstraint]) -> None:
    pairs: set[tuple[str, str]] = set()
    for index, constraint in enumerate(constraints):
        here = f"{path}[{index}]"
        if constraint.maxSkew <= 0:
            errs.append(fields.invalid(f"{here}.maxSkew", constraint.maxSkew, checks.POSITIVE))
        if not constraint.topologyKey:
            errs.append(fields.required(f"{here}.topologyKey", "can not be empty"))
        else:
            checks.form(errs, f"{here}.topologyKey", constraint.topologyKey, checks.qualified_name)
        checks.one_of(errs, f"{here}.whenUnsatisfiable", constraint.whenUnsatisfiable, UNSATISFIABLE)
        pair = (constraint.topologyKey, constraint.whenUnsatisfiable)
        if pair in pairs:
            shown = "{" + ", ".join(pair) + "}"
            errs.append(fields.duplicate(f"{here}.{{topologyKey, whenUnsatisfiable}}", shown))
        pairs.add(pair)
        _spread_details(errs, here, constraint)


def _spread_details(errs: Errors, path: str, constraint: core_v1.TopologySpreadConstraint) -> None:
    if constraint.minDomains is not None:
        if constraint.minDomains <= 0:
            errs.append(fields.invalid(f"{path}.minDomains", constraint.minDomains, checks.POSITIVE))
        if constraint.whenUnsatisfiable != "DoNotSchedule":
            detail = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {constraint.whenUnsatisfiable}"
            errs.append(fields.invalid(f"{path}.minDomains", constraint.minDomains, detail))
    for field in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
        policy = getattr(constraint, field)
        if policy is not None:
            checks.one_of(errs, f"{path}.{field}", policy, INCLUSION)
    for index, key in enumerate(constraint.matchLabelKeys or ()):
        if constraint.labelSelector is None:
            detail = "must not be specified when labelSelector is not set"
            errs.append(fields.forbidden(f"{path}.matchLabelKeys", detail))
            break
        checks.form(errs, f"{path}.matchLabelKeys[{index}]", key, checks.qualified_name)
    checks.label_selector(errs, f"{path}.labelSelector", constraint.labelSelector)


def validate_gates(errs: Errors, path: str, gates: Sequence[core_v1.PodSchedulingGate]) -> None:
    for index, gate in enumerate(gates):
        checks.form(errs, f"{path}[{index}]", gate.name, checks.qualified_name)
    checks.duplicates(errs, lambda index: f"{path}[{index}]", [gate.name for gate in gates])


def merge_label_keys(spec: core_v1.PodSpec, labels: dict[str, str]) -> None:
    """Write what matchLabelKeys and mismatchLabelKeys mean for this Pod into its label selectors."""
    for constraint in spec.topologySpreadConstraints or ():
        _require(constraint.labelSelector, "In", constraint.matchLabelKeys, labels)
    affinity = spec.affinity
    for group in (affinity and affinity.podAffinity, affinity and affinity.podAntiAffinity):
        if not group:
            continue
        for term in group.requiredDuringSchedulingIgnoredDuringExecution or ():
            _merge(term, labels)
        for weighted in group.preferredDuringSchedulingIgnoredDuringExecution or ():
            _merge(weighted.podAffinityTerm, labels)


def _merge(term: core_v1.PodAffinityTerm, labels: dict[str, str]) -> None:
    _require(term.labelSelector, "In", term.matchLabelKeys, labels)
    _require(term.labelSelector, "NotIn", term.mismatchLabelKeys, labels)


def _require(
    selector: meta_v1.LabelSelector | None, operator: str, keys: Sequence[str] | None, labels: dict[str, str]
) -> None:
    if selector is None:
        return
    for key in keys or ():
        if key in labels:
            requirement = meta_v1.LabelSelectorRequirement(key=key, operator=operator, values=[labels[key]])
            selector.matchExpressions = [*(selector.matchExpressions or []), requirement]
