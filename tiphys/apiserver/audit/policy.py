"""Audit policies: which requests are written down, and how much of them. Pure.

Source: Kubernetes docs, "kube-apiserver Audit Configuration (v1)"; messages of
the validation by behaviour.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from tiphys.apiserver.seams import Attributes
from tiphys.machinery import codec, fields
from tiphys.machinery.fields import FieldError
from tiphys.wire.exchange import UserInfo

API_VERSION: Final = "audit.k8s.io/v1"
LEVELS: Final = ("None", "Metadata", "Request", "RequestResponse")
STAGES: Final = ("RequestReceived", "ResponseStarted", "ResponseComplete", "Panic")


class PolicyError(ValueError):
    """A policy file that cannot be used; the text names it and says why."""


class GroupResources(msgspec.Struct):
    group: str = ""
    resources: tuple[str, ...] = ()
    resourceNames: tuple[str, ...] = ()


class Rule(msgspec.Struct):
    level: str = ""
    users: tuple[str, ...] = ()
    userGroups: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()
    resources: tuple[GroupResources, ...] = ()
    namespaces: tuple[str, ...] = ()
    nonResourceURLs: tuple[str, ...] = ()
    omitStages: tuple[str, ...] = ()
    omitManagedFields: bool | None = None


class Document(msgspec.Struct):
    """A policy as it is written."""

    apiVersion: str = ""
    kind: str = ""
    rules: tuple[Rule, ...] = ()
    omitStages: tuple[str, ...] = ()
    omitManagedFields: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the policy says about one request."""

    level: str
    omit_stages: frozenset[str] = frozenset()
    omit_managed_fields: bool = False


class Policy:
    """Rules in their order; the first that matches decides, and without one nothing is written."""

    def __init__(self, document: Document) -> None:
        self._rules = [
            (
                rule,
                Wanted(
                    rule.level,
                    frozenset((*document.omitStages, *rule.omitStages)),
                    document.omitManagedFields if rule.omitManagedFields is None else rule.omitManagedFields,
                ),
            )
            for rule in document.rules
        ]
        self._nothing = Wanted("None", frozenset(document.omitStages))

    def wanted(self, user: UserInfo, asked: Attributes) -> Wanted:
        for rule, wanted in self._rules:
            if _matches(rule, user, asked):
                return wanted
        return self._nothing

    @staticmethod
    def parse(text: bytes) -> "Policy":
        """From YAML or JSON. Raises PolicyError."""
        try:
            found, _ = codec.decode_yaml(text)
        except codec.DecodeError as problem:
            raise PolicyError(f"failed decoding: {problem}") from problem
        if not isinstance(found, Mapping) or not found:
            raise PolicyError("failed decoding: the policy is empty")
        if found.get("apiVersion") != API_VERSION or found.get("kind") != "Policy":
            shown = f"{found.get('kind', '')} of {found.get('apiVersion', '')}"
            raise PolicyError(f"unknown group version field {shown} in policy; a Policy of {API_VERSION} is expected")
        try:
            document = msgspec.convert(found, Document, strict=True)
        except msgspec.ValidationError as problem:
            raise PolicyError(f"failed decoding: {problem}") from problem
        if not document.rules:
            raise PolicyError("loaded illegal policy with 0 rules")
        problems = validate(document)
        if problems:
            raise PolicyError("; ".join(str(problem) for problem in problems))
        return Policy(document)


def validate(document: Document) -> list[FieldError]:
    """What is wrong with a policy, as Kubernetes says it."""
    found = _stages("omitStages", document.omitStages)
    for index, rule in enumerate(document.rules):
        path = f"rules[{index}]"
        if not rule.level:
            found.append(fields.required(f"{path}.level"))
        elif rule.level not in LEVELS:
            found.append(fields.not_supported(f"{path}.level", rule.level, sorted(LEVELS)))
        if rule.nonResourceURLs and (rule.resources or rule.namespaces):
            detail = "rules cannot apply to both regular resources and non-resource URLs"
            found.append(fields.invalid(f"{path}.nonResourceURLs", list(rule.nonResourceURLs), detail))
        found += _urls(f"{path}.nonResourceURLs", rule.nonResourceURLs)
        found += _resources(f"{path}.resources", rule.resources)
        found += _stages(f"{path}.omitStages", rule.omitStages)
    return found


def _stages(path: str, stages: tuple[str, ...]) -> list[FieldError]:
    return [
        fields.invalid(f"{path}[{index}]", stage, f"allowed stages are {','.join(STAGES)}")
        for index, stage in enumerate(stages)
        if stage not in STAGES
    ]


def _urls(path: str, urls: tuple[str, ...]) -> list[FieldError]:
    found = []
    for index, url in enumerate(urls):
        if url == "*":
            continue
        place = f"{path}[{index}]"
        if not url.startswith("/"):
            found.append(fields.invalid(place, url, 'non-resource URL rules must begin with a "/" character'))
        if "*" in url[:-1]:
            detail = 'non-resource URL wildcards "*" must be the final character of the rule'
            found.append(fields.invalid(place, url, detail))
    return found


def _resources(path: str, resources: tuple[GroupResources, ...]) -> list[FieldError]:
    found = []
    for index, each in enumerate(resources):
        place = f"{path}[{index}]"
        if "/" in each.group:
            detail = "group should not contain a version"
            found.append(fields.invalid(f"{place}.group", each.group, detail))
        if each.resourceNames and not each.resources:
            detail = "using resourceNames requires at least one resource"
            found.append(fields.invalid(f"{place}.resourceNames", list(each.resourceNames), detail))
    return found


def _matches(rule: Rule, user: UserInfo, asked: Attributes) -> bool:
    if rule.users and user.name not in rule.users:
        return False
    if rule.userGroups and not any(group in rule.userGroups for group in user.groups):
        return False
    if rule.verbs and asked.verb not in rule.verbs:
        return False
    if rule.namespaces or rule.resources:
        return asked.is_resource_request and _resource_matches(rule, asked)
    if rule.nonResourceURLs:
        return not asked.is_resource_request and any(_fits(url, asked.path) for url in rule.nonResourceURLs)
    return True


def _fits(url: str, path: str) -> bool:
    return url in ("*", path) or (url.endswith("*") and path.startswith(url.rstrip("*")))


def _resource_matches(rule: Rule, asked: Attributes) -> bool:
    # What has no namespace is asked for by the empty one.
    if rule.namespaces and asked.namespace not in rule.namespaces:
        return False
    if not rule.resources:
        return True
    return any(
        each.group == asked.group
        and (
            not each.resources
            or (
                (not each.resourceNames or asked.name in each.resourceNames)
                and any(_names(resource, asked) for resource in each.resources)
            )
        )
        for each in rule.resources
    )


def _names(resource: str, asked: Attributes) -> bool:
    """``pods``, ``pods/log``, ``*`` (all), ``*/status`` (that subresource of all), ``pods/*`` (all of Pods)."""
    combined = f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource
    if resource in ("*", combined):
        return True
    if asked.subresource and resource == f"*/{asked.subresource}":
        return True
    return resource == f"{asked.resource}/*"
