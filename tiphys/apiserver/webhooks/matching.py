"""Which requests a rule, a selector and a match policy mean. Shared by webhooks and policies.

Source: Kubernetes docs, "Dynamic Admission Control", "Matching requests".
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from tiphys.apiserver.seams import Attributes, Objects
from tiphys.apiserver.webhooks.subject import Kind, Rows, Subject, kind_of
from tiphys.machinery import errors
from tiphys.machinery.selectors import Selector
from tiphys.resources.rules import Resource

ALL = "*"


class Rule(Protocol):
    """``RuleWithOperations`` or ``NamedRuleWithOperations``."""

    apiGroups: list[str] | None
    apiVersions: list[str] | None
    operations: list[str] | None
    resources: list[str] | None
    scope: str | None


class Invocation(NamedTuple):
    """In which version something is to be asked. ``row`` is None for what no row serves."""

    group: str
    version: str
    resource: str
    kind: Kind
    row: Resource | None


def matches(rule: Rule, attributes: Attributes, namespace: str, group: str, version: str, resource: str) -> bool:
    """Whether a rule means this operation on this resource."""
    return (
        _has(rule.operations, attributes.operation)
        and _has(rule.apiGroups, group)
        and _has(rule.apiVersions, version)
        and _in_scope(rule.scope, namespace, group, resource)
        and any(_names(one, resource, attributes.subresource) for one in rule.resources or ())
    )


def _has(listed: Sequence[str] | None, value: str) -> bool:
    return value in (listed or ()) or ALL in (listed or ())


def _in_scope(scope: str | None, namespace: str, group: str, resource: str) -> bool:
    if scope in (None, "", ALL):
        return True
    inside = bool(namespace) and (group, resource) != ("", "namespaces")
    return inside if scope == "Namespaced" else not inside


def _names(pattern: str, resource: str, subresource: str) -> bool:
    wanted, _, below = pattern.partition("/")
    return wanted in (ALL, resource) and below in (ALL, subresource)


def invocation(rows: Rows, rules: Sequence[Rule], match_policy: str | None, subject: Subject) -> Invocation | None:
    """How the first rule that means the request wants to see it; None if no rule does."""
    attributes = subject.attributes
    own = (attributes.group, attributes.version, attributes.resource)
    for rule in rules:
        if matches(rule, attributes, subject.namespace, *own):
            return Invocation(*own, request_kind(subject), subject.row)
    if match_policy == "Exact" or subject.row is None:
        return None
    others = rows.equivalents(subject.row)
    for rule in rules:
        for row in others:
            if matches(rule, attributes, subject.namespace, row.group, row.version, row.plural):
                return Invocation(row.group, row.version, row.plural, kind_of(row, attributes.subresource), row)
    return None


def request_kind(subject: Subject) -> Kind:
    """The kind that the client sent."""
    attributes = subject.attributes
    if subject.row is None:
        return Kind(attributes.group, attributes.version, attributes.kind)
    return kind_of(subject.row, attributes.subresource)


def selects_namespace(selector: Selector, subject: Subject, objects: Objects) -> bool:
    """Whether the request's Namespace (or the Namespace that it is about) is meant.

    Nothing outside of Namespaces is ever left out. Raises NotFound for a Namespace that is not there.
    """
    attributes = subject.attributes
    namespace = subject.namespace
    if selector.empty or (not namespace and attributes.resource != "namespaces"):
        return True
    if attributes.resource == "namespaces" and not attributes.subresource and attributes.operation != "DELETE":
        labels = subject.labels(old=False)
        if labels is not None:
            return selector.matches(labels)
    found: Any = objects.find("", "namespaces", "", namespace)
    if found is None:
        raise errors.NotFound("namespaces", namespace)
    return selector.matches(found.metadata.labels)


def selects_object(selector: Selector, subject: Subject) -> bool:
    """Whether the object, or what it replaces, is meant."""
    if selector.empty:
        return True
    return any(
        labels is not None and selector.matches(labels)
        for labels in (subject.labels(old=False), subject.labels(old=True))
    )
