"""Which FlowSchema a request belongs to, and which flow within it. Pure.

Source: KEP-1040, "Flow Schema"; apiserver's ``flowcontrol`` package, by behaviour.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from tiphys.api import flowcontrol_v1 as v1
from tiphys.apiserver.seams import Attributes
from tiphys.wire.exchange import UserInfo

ANY: Final = "*"
SERVICE_ACCOUNT: Final = "system:serviceaccount:"


def ordered(schemas: Iterable[v1.FlowSchema]) -> list[v1.FlowSchema]:
    """In the order in which they are tried: lower precedence first, then by name."""
    return sorted(schemas, key=lambda schema: (schema.spec.matchingPrecedence or 0, schema.metadata.name))


def matches(schema: v1.FlowSchema, user: UserInfo, asked: Attributes) -> bool:
    """Whether one of the schema's rules is for this user and for what is asked."""
    return any(_rule_matches(rule, user, asked) for rule in schema.spec.rules or ())


def _rule_matches(rule: v1.PolicyRulesWithSubjects, user: UserInfo, asked: Attributes) -> bool:
    if not any(_is_subject(subject, user) for subject in rule.subjects):
        return False
    if asked.is_resource_request:
        return any(_resource_matches(each, asked) for each in rule.resourceRules or ())
    return any(_path_matches(each, asked) for each in rule.nonResourceRules or ())


def _is_subject(subject: v1.Subject, user: UserInfo) -> bool:
    if subject.kind == "User":
        return subject.user is not None and subject.user.name in (ANY, user.name)
    if subject.kind == "Group":
        return subject.group is not None and (subject.group.name == ANY or subject.group.name in user.groups)
    account = subject.serviceAccount
    if subject.kind != "ServiceAccount" or account is None or not user.name.startswith(SERVICE_ACCOUNT):
        return False
    namespace, _, name = user.name.removeprefix(SERVICE_ACCOUNT).partition(":")
    return namespace == account.namespace and account.name in (ANY, name)


def _has(values: Sequence[str], value: str) -> bool:
    return ANY in values or value in values


def _resource_matches(rule: v1.ResourcePolicyRule, asked: Attributes) -> bool:
    resource = f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource
    if not (_has(rule.verbs, asked.verb) and _has(rule.apiGroups, asked.group) and _has(rule.resources, resource)):
        return False
    return _has(rule.namespaces or (), asked.namespace) if asked.namespace else bool(rule.clusterScope)


def _path_matches(rule: v1.NonResourcePolicyRule, asked: Attributes) -> bool:
    return _has(rule.verbs, asked.verb) and any(_fits(pattern, asked.path) for pattern in rule.nonResourceURLs)


def _fits(pattern: str, path: str) -> bool:
    if pattern in (ANY, path):
        return True
    # Only a whole last segment may be a wildcard.
    return pattern.endswith("/*") and path.startswith(pattern.removesuffix(ANY))


def distinguisher(schema: v1.FlowSchema, user: UserInfo, asked: Attributes) -> str:
    """What tells the flows of one schema apart."""
    method = schema.spec.distinguisherMethod
    if method is None:
        return ""
    return user.name if method.type == "ByUser" else asked.namespace
