"""Attribute-based access control: policies from a file, one JSON object a line.

Lines without version and kind are of the first form (v0), in which an absent
property means any.
Source: Kubernetes docs, "Using ABAC Authorization".
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from tiphys.api import authorization_v1
from tiphys.apiserver.config import Misconfigured
from tiphys.apiserver.rbac import AUTHENTICATED, groups_of
from tiphys.apiserver.rulelists import RuleList
from tiphys.apiserver.seams import Attributes, Decision
from tiphys.wire.exchange import UserInfo

API_VERSION: Final = "abac.authorization.kubernetes.io/v1beta1"
ALL: Final = "*"
READ: Final = ("get", "list", "watch")


class PolicyProblem(Misconfigured):
    """A line that is no policy."""


class Policy(msgspec.Struct, frozen=True):
    """Who may do what; empty properties match nothing but the empty value."""

    user: str = ""
    group: str = ""
    readonly: bool = False
    apiGroup: str = ""
    resource: str = ""
    namespace: str = ""
    nonResourcePath: str = ""


class _First(msgspec.Struct, frozen=True):
    """The form before versions."""

    user: str = ""
    group: str = ""
    readonly: bool = False
    resource: str = ""
    namespace: str = ""


def policies(path: str) -> list[Policy]:
    """Raises OSError, PolicyProblem."""
    found = []
    for number, line in enumerate(Path(path).read_bytes().splitlines(), 1):
        text = line.strip()
        if not text or text.startswith(b"#"):
            continue
        try:
            found.append(_policy(text))
        except (msgspec.DecodeError, ValueError) as problem:
            shown = line.decode("utf-8", "replace")
            raise PolicyProblem(f"error reading policy file {path}, line {number}: {shown}: {problem}") from problem
    return found


def _policy(text: bytes) -> Policy:
    raw: Any = msgspec.json.decode(text)
    if not isinstance(raw, dict):
        raise ValueError("a JSON object is expected")
    if not raw.get("apiVersion") or not raw.get("kind"):
        return _from_first(msgspec.convert(raw, _First))
    if (raw["apiVersion"], raw["kind"]) != (API_VERSION, "Policy"):
        raise ValueError(f"unrecognized object: {raw['apiVersion']}, {raw['kind']}")
    found = msgspec.convert(raw.get("spec") or {}, Policy)
    if ALL in (found.user, found.group):
        # Everybody who is known; strangers are nobody here.
        found = msgspec.structs.replace(found, group=AUTHENTICATED)
    return found


def _from_first(old: _First) -> Policy:
    """Nobody named means everybody who is known; no resource means every path, too."""
    anybody = not old.user and not old.group
    return Policy(
        user=old.user if old.user != ALL else "",
        group=AUTHENTICATED if anybody or ALL in (old.user, old.group) else old.group,
        readonly=old.readonly,
        apiGroup=ALL,
        resource=old.resource or ALL,
        namespace=old.namespace or ALL,
        nonResourcePath="" if old.resource or old.namespace else ALL,
    )


class Abac:
    """``seams.Authorizer`` over policies; reading the file anew takes a restart, as in Kubernetes."""

    def __init__(self, found: Sequence[Policy]) -> None:
        self._policies = tuple(found)

    async def authorize(self, user: UserInfo, attributes: Attributes) -> Decision:
        groups = groups_of(user)
        for policy in self._policies:
            if _is_about(policy, user, groups) and _allows(policy, attributes):
                return Decision(True)
        return Decision(False, "No policy matched.")

    async def add_rules(self, user: UserInfo, namespace: str, found: RuleList) -> None:
        groups = groups_of(user)
        for policy in self._policies:
            if not _is_about(policy, user, groups) or policy.namespace not in (ALL, namespace):
                continue
            verbs = list(READ) if policy.readonly else [ALL]
            if policy.resource:
                rule = authorization_v1.ResourceRule(
                    verbs=verbs, apiGroups=[policy.apiGroup], resources=[policy.resource]
                )
                found.resources.append(rule)
            if policy.nonResourcePath:
                path = authorization_v1.NonResourceRule(verbs=verbs, nonResourceURLs=[policy.nonResourcePath])
                found.paths.append(path)


def _is_about(policy: Policy, user: UserInfo, groups: Sequence[str]) -> bool:
    if policy.user and policy.user not in (ALL, user.name):
        return False
    if policy.group and policy.group != ALL and policy.group not in groups:
        return False
    return bool(policy.user or policy.group)


def _allows(policy: Policy, asked: Attributes) -> bool:
    if policy.readonly and asked.verb not in READ:
        return False
    if asked.is_resource_request:
        return (
            policy.namespace in (ALL, asked.namespace)
            and policy.resource in (ALL, asked.resource)
            and policy.apiGroup in (ALL, asked.group)
        )
    path = policy.nonResourcePath
    return path in (ALL, asked.path) or (path.endswith(ALL) and asked.path.startswith(path.rstrip(ALL)))
