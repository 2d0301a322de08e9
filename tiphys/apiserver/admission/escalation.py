"""Nobody grants what they do not have: checks on writing roles and bindings.

Source: Kubernetes docs, "Using RBAC Authorization", "Privilege escalation
prevention and bootstrapping".
"""

from collections.abc import Awaitable, Iterator, Sequence
from typing import Any, Final, Self

from tiphys.api import rbac_v1
from tiphys.apiserver.admission.plugin import Plugin, Tools, forbidden
from tiphys.apiserver.rbac import ALL, GROUP, MASTERS, Rbac, path_matches, resource_matches, verb_matches
from tiphys.apiserver.seams import Attributes, Authorizer
from tiphys.machinery.goformat import quote
from tiphys.wire.exchange import UserInfo

ROLES: Final = ("roles", "clusterroles")
BINDINGS: Final = ("rolebindings", "clusterrolebindings")


class Escalation(Plugin):
    """Not a plugin in Kubernetes, where the registry does it before it validates, so no flag takes it away."""

    @classmethod
    def made(cls, tools: Tools) -> Self:
        return cls(tools.rbac, tools.authorizer)

    def __init__(self, rbac: Rbac, authorizer: Authorizer) -> None:
        self._rbac = rbac
        self._authorizer = authorizer

    def handles(self, attributes: Attributes) -> bool:
        return attributes.group == GROUP and attributes.operation in ("CREATE", "UPDATE")

    def validate(self, attributes: Attributes, obj: Any, old: Any) -> Awaitable[None] | None:
        if MASTERS in attributes.user.groups:
            return None
        if attributes.resource in ROLES:
            return self._check_role(attributes, obj, old)
        if attributes.resource in BINDINGS:
            return self._check_binding(attributes, obj, old)
        return None

    async def _check_role(self, attributes: Attributes, role: Any, old: Any) -> None:
        if old is not None and old.rules == role.rules and _aggregation(old) == _aggregation(role):
            return
        if await self._may(attributes, "escalate", attributes.resource, role.metadata.name):
            return
        rules = list(role.rules or ())
        if _aggregation(role) is not None:
            # Whatever is chosen later would be granted, too.
            rules.append(rbac_v1.PolicyRule(verbs=[ALL], apiGroups=[ALL], resources=[ALL]))
            rules.append(rbac_v1.PolicyRule(verbs=[ALL], nonResourceURLs=[ALL]))
        self._check_covered(attributes, role, rules)

    async def _check_binding(self, attributes: Attributes, binding: Any, old: Any) -> None:
        same = old is not None and (old.subjects, old.roleRef) == (binding.subjects, binding.roleRef)
        if same:
            return
        reference = binding.roleRef
        plural = "clusterroles" if reference.kind == "ClusterRole" else "roles"
        if await self._may(attributes, "bind", plural, reference.name):
            return
        granted = self._rbac.rules_of_reference(reference, attributes.namespace)
        if granted.problem:
            raise forbidden(attributes, binding, granted.problem)
        self._check_covered(attributes, binding, granted.rules)

    async def _may(self, attributes: Attributes, verb: str, plural: str, name: str) -> bool:
        user = attributes.user
        asked = Attributes(
            verb,
            "",
            user,
            is_resource_request=True,
            group=GROUP,
            version="*",
            resource=plural,
            namespace=attributes.namespace,
            name=name,
        )
        return (await self._authorizer.authorize(user, asked)).allowed

    def _check_covered(self, attributes: Attributes, obj: Any, rules: Sequence[rbac_v1.PolicyRule]) -> None:
        user = attributes.user
        held = [rule for found in self._rbac.rules_of(user, attributes.namespace) for rule in found.rules]
        missing = [part for rule in rules for part in parts(rule) if not any(covers(one, part) for one in held)]
        if missing:
            who = f"user {quote(user.name)} ({_groups(user)})"
            listed = "\n".join(sorted({_text(part) for part in missing}))
            why = f"{who} is attempting to grant RBAC permissions not currently held:\n{listed}"
            raise forbidden(attributes, obj, why)


def _aggregation(role: Any) -> Any:
    return getattr(role, "aggregationRule", None)


def parts(rule: rbac_v1.PolicyRule) -> Iterator[rbac_v1.PolicyRule]:
    """A rule as rules of one verb, one group, one resource and at most one name each."""
    for verb in rule.verbs:
        for path in rule.nonResourceURLs or ():
            yield rbac_v1.PolicyRule(verbs=[verb], nonResourceURLs=[path])
        for group in rule.apiGroups or ():
            for resource in rule.resources or ():
                for name in rule.resourceNames or (None,):
                    names = None if name is None else [name]
                    yield rbac_v1.PolicyRule(verbs=[verb], apiGroups=[group], resources=[resource], resourceNames=names)


def covers(held: rbac_v1.PolicyRule, part: rbac_v1.PolicyRule) -> bool:
    """Whether a rule that somebody has allows all that ``part`` (from ``parts``) allows."""
    if not verb_matches(held, part.verbs[0]):
        return False
    if part.nonResourceURLs:
        return path_matches(held, part.nonResourceURLs[0])
    group, (resource, _, subresource) = (part.apiGroups or [""])[0], (part.resources or [""])[0].partition("/")
    if not resource_matches(held, group, resource, subresource):
        return False
    if not held.resourceNames:
        return True
    return part.resourceNames is not None and part.resourceNames[0] in held.resourceNames


def _groups(user: UserInfo) -> str:
    return "groups=[" + " ".join(quote(group) for group in user.groups) + "]"


def _text(rule: rbac_v1.PolicyRule) -> str:
    fields = (
        ("APIGroups", rule.apiGroups),
        ("Resources", rule.resources),
        ("ResourceNames", rule.resourceNames),
        ("NonResourceURLs", rule.nonResourceURLs),
        ("Verbs", rule.verbs),
    )
    shown = (f"{name}:[{', '.join(map(quote, values))}]" for name, values in fields if values)
    return "{" + ", ".join(shown) + "}"
