"""RBAC: which rules a user has, and whether they allow a request.

Bindings are kept by subject, so that a decision looks at the user's own
bindings only. A decision is remembered until any role or binding changes: as
the names it holds for, since most rules say nothing about names.
Aggregated ClusterRoles are evaluated here, from their selectors, so that they
are right before (and without) a controller that writes their rules down.
Source: Kubernetes docs, "Using RBAC Authorization".
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tiphys.api import authorization_v1, rbac_v1
from tiphys.apiserver.rulelists import RuleList
from tiphys.apiserver.seams import Attributes, Decision, Objects
from tiphys.machinery import selectors
from tiphys.machinery.goformat import quote
from tiphys.wire.exchange import UserInfo

GROUP: Final = "rbac.authorization.k8s.io"
ALL: Final = "*"
MASTERS: Final = "system:masters"
AUTHENTICATED: Final = "system:authenticated"
UNAUTHENTICATED: Final = "system:unauthenticated"
DECISIONS_REMEMBERED_MAX: Final = 16_384
# A request's line may be long; what is remembered of it may not.
KEY_LENGTH_MAX: Final = 512

#: Names that a decision holds for; None stands for all of them.
Names = frozenset[str] | None
NOTHING: Final[frozenset[str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Rules:
    """Rules of one role as a user has them, or why there are none."""

    rules: Sequence[rbac_v1.PolicyRule]
    problem: str = ""


def groups_of(user: UserInfo) -> tuple[str, ...]:
    """A user's groups; whoever is known at all is authenticated, in-process callers too."""
    groups = user.groups
    if AUTHENTICATED in groups or UNAUTHENTICATED in groups:
        return groups
    return (*groups, AUTHENTICATED)


def resource_matches(rule: rbac_v1.PolicyRule, group: str, resource: str, subresource: str) -> bool:
    groups, resources = rule.apiGroups or (), rule.resources or ()
    if group not in groups and ALL not in groups:
        return False
    combined = f"{resource}/{subresource}" if subresource else resource
    if combined in resources or ALL in resources:
        return True
    return bool(subresource) and f"*/{subresource}" in resources


def path_matches(rule: rbac_v1.PolicyRule, path: str) -> bool:
    for url in rule.nonResourceURLs or ():
        if url in (ALL, path) or (url.endswith(ALL) and path.startswith(url[:-1])):
            return True
    return False


def verb_matches(rule: rbac_v1.PolicyRule, verb: str) -> bool:
    return verb in rule.verbs or ALL in rule.verbs


class Rbac:
    """``seams.Authorizer`` over roles and bindings."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        #: Subject -> binding key -> binding. None until the first question, when the cache is full.
        self._bindings: dict[tuple[str, str], dict[tuple[str, str], Any]] | None = None
        self._decisions: dict[Any, tuple[Names, str]] = {}
        self._aggregated: dict[str, Sequence[rbac_v1.PolicyRule]] = {}
        for plural in ("roles", "clusterroles"):
            objects.subscribe(GROUP, plural, self._role_changed)
        for plural in ("rolebindings", "clusterrolebindings"):
            objects.subscribe(GROUP, plural, self._binding_changed)

    async def authorize(self, user: UserInfo, attributes: Attributes) -> Decision:
        if MASTERS in user.groups:
            return Decision(True)
        names, problem = self._decision(user, attributes)
        if names is None or (attributes.name and attributes.name in names):
            return Decision(True)
        return Decision(False, problem)

    def _decision(self, user: UserInfo, asked: Attributes) -> tuple[Names, str]:
        what: tuple[str, ...] = (asked.path,)
        if asked.is_resource_request:
            what = (asked.group, asked.resource, asked.subresource, asked.namespace)
        key = (user.name, user.groups, asked.verb, what)
        found = self._decisions.get(key)
        if found is None:
            found = self._decide(user, asked)
            # Anybody can ask about anything at any length; only what is common is worth remembering.
            if len(user.name) + sum(map(len, (*user.groups, *what))) <= KEY_LENGTH_MAX:
                if len(self._decisions) >= DECISIONS_REMEMBERED_MAX:
                    self._decisions.clear()
                self._decisions[key] = found
        return found

    def _decide(self, user: UserInfo, asked: Attributes) -> tuple[Names, str]:
        names: set[str] = set()
        problems: list[str] = []
        for rules in self.rules_of(user, asked.namespace if asked.is_resource_request else ""):
            if rules.problem:
                problems.append(rules.problem)
            for rule in rules.rules:
                if not verb_matches(rule, asked.verb):
                    continue
                if not asked.is_resource_request:
                    if path_matches(rule, asked.path):
                        return None, ""
                elif resource_matches(rule, asked.group, asked.resource, asked.subresource):
                    if not rule.resourceNames:
                        return None, ""
                    names.update(rule.resourceNames)
        return frozenset(names) if names else NOTHING, _reason(problems)

    def explanation(self, user: UserInfo, asked: Attributes) -> str:
        """Which binding allows a request, in Kubernetes' words; empty if none does."""
        for binding in self._bindings_of(user, asked.namespace if asked.is_resource_request else ""):
            if any(_allows(rule, asked) for rule in self._rules_of_binding(binding).rules):
                return f"RBAC: allowed by {_described(binding, user)}"
        return ""

    async def add_rules(self, user: UserInfo, namespace: str, found: RuleList) -> None:
        """What ``user`` may do in ``namespace``, rule by rule."""
        for rules in self.rules_of(user, namespace):
            if rules.problem:
                found.problems.append(rules.problem)
            for rule in rules.rules:
                if rule.resources:
                    resource = authorization_v1.ResourceRule(
                        verbs=rule.verbs,
                        apiGroups=rule.apiGroups,
                        resources=rule.resources,
                        resourceNames=rule.resourceNames,
                    )
                    found.resources.append(resource)
                if rule.nonResourceURLs:
                    path = authorization_v1.NonResourceRule(verbs=rule.verbs, nonResourceURLs=rule.nonResourceURLs)
                    found.paths.append(path)

    def rules_of(self, user: UserInfo, namespace: str) -> Iterator[Rules]:
        """The rules that ``user`` has in a namespace (or cluster-wide, if empty), a role at a time."""
        for binding in self._bindings_of(user, namespace):
            yield self._rules_of_binding(binding)

    def _bindings_of(self, user: UserInfo, namespace: str) -> Iterator[Any]:
        bindings = self._indexed()
        subjects = [("User", user.name), *(("Group", group) for group in groups_of(user))]
        own = [found for subject in subjects if (found := bindings.get(subject))]
        for found in own:
            yield from (binding for (place, _), binding in found.items() if not place)
        if namespace:
            for found in own:
                yield from (binding for (place, _), binding in found.items() if place == namespace)

    def _rules_of_binding(self, binding: Any) -> Rules:
        reference = binding.roleRef
        if reference.kind == "ClusterRole":
            return self._cluster_role(reference.name)
        role = self._objects.find(GROUP, "roles", binding.metadata.namespace, reference.name)
        return Rules(role.rules or ()) if role else Rules((), _not_found("role", reference.name))

    def rules_of_reference(self, reference: rbac_v1.RoleRef, namespace: str) -> Rules:
        """The rules that a binding in ``namespace`` with this reference would grant."""
        metadata = type(rbac_v1.RoleBinding().metadata)(namespace=namespace)
        return self._rules_of_binding(rbac_v1.RoleBinding(metadata=metadata, roleRef=reference))

    def _cluster_role(self, name: str) -> Rules:
        role = self._objects.find(GROUP, "clusterroles", "", name)
        if role is None:
            return Rules((), _not_found("clusterrole", name))
        if role.aggregationRule is None:
            return Rules(role.rules or ())
        found = self._aggregated.get(name)
        if found is None:
            found = self._aggregated[name] = self.aggregated(role)
        return Rules(found)

    def aggregated(self, role: rbac_v1.ClusterRole) -> Sequence[rbac_v1.PolicyRule]:
        """The rules of all ClusterRoles that the selectors of ``role`` choose, and of those that they choose."""
        found: dict[str, Any] = {}
        self._gather(role, found)
        rules: list[rbac_v1.PolicyRule] = []
        for _, chosen in sorted(found.items()):
            # What an aggregated one holds comes from others, which are here as well.
            if chosen.aggregationRule is None:
                rules += [rule for rule in chosen.rules or () if rule not in rules]
        return rules

    def _gather(self, role: rbac_v1.ClusterRole, found: dict[str, Any]) -> None:
        chosen = (role.aggregationRule and role.aggregationRule.clusterRoleSelectors) or ()
        for selector in map(selectors.from_label_selector, chosen):
            for other in self._objects.all(GROUP, "clusterroles"):
                name = other.metadata.name
                if name in found or name == role.metadata.name or not selector.matches(other.metadata.labels):
                    continue
                found[name] = other
                self._gather(other, found)

    # -- keeping up

    def _indexed(self) -> dict[tuple[str, str], dict[tuple[str, str], Any]]:
        if self._bindings is None:
            self._bindings = defaultdict(dict)
            for plural in ("clusterrolebindings", "rolebindings"):
                for binding in self._objects.all(GROUP, plural):
                    self._add(binding)
        return self._bindings

    def _role_changed(self, new: Any | None, old: Any | None) -> None:
        self._decisions.clear()
        self._aggregated.clear()

    def _binding_changed(self, new: Any | None, old: Any | None) -> None:
        if self._bindings is None:
            return
        self._decisions.clear()
        if old is not None:
            for subject in _subjects(old):
                self._bindings[subject].pop(_key(old), None)
        if new is not None:
            self._add(new)

    def _add(self, binding: Any) -> None:
        assert self._bindings is not None
        for subject in _subjects(binding):
            self._bindings[subject][_key(binding)] = binding


def _allows(rule: rbac_v1.PolicyRule, asked: Attributes) -> bool:
    if not verb_matches(rule, asked.verb):
        return False
    if not asked.is_resource_request:
        return path_matches(rule, asked.path)
    named = not rule.resourceNames or (bool(asked.name) and asked.name in rule.resourceNames)
    return named and resource_matches(rule, asked.group, asked.resource, asked.subresource)


def _described(binding: Any, user: UserInfo) -> str:
    """``RoleBinding "name/namespace" of Role "role" to User "jane"``."""
    namespace = binding.metadata.namespace
    own = {("User", user.name), *(("Group", group) for group in groups_of(user))}
    subject = next(one for one in binding.subjects or () if own & set(_subjects_of(one, namespace)))
    who = f"{subject.name}/{subject.namespace or namespace}" if subject.kind == "ServiceAccount" else subject.name
    name = f"{binding.metadata.name}/{namespace}" if namespace else binding.metadata.name
    reference = binding.roleRef
    return f"{binding.kind} {quote(name)} of {reference.kind} {quote(reference.name)} to {subject.kind} {quote(who)}"


def _key(binding: Any) -> tuple[str, str]:
    return (binding.metadata.namespace, binding.metadata.name)


def _subjects(binding: Any) -> Iterable[tuple[str, str]]:
    for subject in binding.subjects or ():
        yield from _subjects_of(subject, binding.metadata.namespace)


def _subjects_of(subject: rbac_v1.Subject, own: str) -> Iterable[tuple[str, str]]:
    """As whom a subject is known; ``own`` is the binding's namespace."""
    if subject.kind == "ServiceAccount":
        namespace = subject.namespace or own
        if namespace:
            yield ("User", f"system:serviceaccount:{namespace}:{subject.name}")
    elif subject.kind in ("User", "Group"):
        yield (subject.kind, subject.name)


def _not_found(kind: str, name: str) -> str:
    return f"{kind}.{GROUP} {quote(name)} not found"


def _reason(problems: Sequence[str]) -> str:
    distinct = list(dict.fromkeys(problems))
    if not distinct:
        return ""
    return f"RBAC: {distinct[0]}" if len(distinct) == 1 else f"RBAC: [{', '.join(distinct)}]"
