"""What Role and ClusterRole share: their rules."""

from collections.abc import Sequence

from tiphys.api import rbac_v1
from tiphys.machinery import fields
from tiphys.resources.checks import Errors

GROUP = "rbac.authorization.k8s.io"


def validate_rules(errs: Errors, rules: Sequence[rbac_v1.PolicyRule], *, namespaced: bool) -> None:
    for index, rule in enumerate(rules):
        _rule(errs, f"rules[{index}]", rule, namespaced=namespaced)


def _rule(errs: Errors, path: str, rule: rbac_v1.PolicyRule, *, namespaced: bool) -> None:
    if not rule.verbs:
        errs.append(fields.required(f"{path}.verbs", "verbs must contain at least one value"))
    if rule.nonResourceURLs:
        here = f"{path}.nonResourceURLs"
        if namespaced:
            detail = "namespaced rules cannot apply to non-resource URLs"
            errs.append(fields.invalid(here, rule.nonResourceURLs, detail))
        if rule.apiGroups or rule.resources or rule.resourceNames:
            detail = "rules cannot apply to both regular resources and non-resource URLs"
            errs.append(fields.invalid(here, rule.nonResourceURLs, detail))
        return
    if not rule.apiGroups:
        errs.append(fields.required(f"{path}.apiGroups", "resource rules must supply at least one api group"))
    if not rule.resources:
        errs.append(fields.required(f"{path}.resources", "resource rules must supply at least one resource"))
