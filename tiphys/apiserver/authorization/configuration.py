"""Which authorizers there are, in which order: from flags, or from an AuthorizationConfiguration file.

Source: Kubernetes docs, "Authorization", flags and "Using a configuration file";
kube-apiserver's options, by behaviour.
"""

import collections
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from tiphys.apiserver.authentication.configuration import ConfigurationProblem, Strict, read_as
from tiphys.apiserver.authorization.abac import Abac, policies
from tiphys.apiserver.authorization.node import NodeAuthorizer
from tiphys.apiserver.authorization.simple import AlwaysAllow, AlwaysDeny
from tiphys.apiserver.authorization.webhook import AuthorizationWebhook, WebhookConfig
from tiphys.apiserver.config import SecurityConfig
from tiphys.apiserver.expressions import Expression, ExpressionProblem
from tiphys.apiserver.rbac import Rbac
from tiphys.apiserver.remote import Remote, target_of
from tiphys.apiserver.seams import Authorizer, Objects
from tiphys.base.clock import Clock
from tiphys.machinery import errors, fields, names, times
from tiphys.machinery.goformat import quote

MODES: Final = ("ABAC", "AlwaysAllow", "AlwaysDeny", "Node", "RBAC", "Webhook")
TYPES: Final = MODES
CONDITIONS_MAX: Final = 64


class ConditionSpec(Strict, frozen=True):
    expression: str = ""


class ConnectionSpec(Strict, frozen=True):
    type: str = ""
    kubeConfigFile: str | None = None


class WebhookSpec(Strict, frozen=True):
    authorizedTTL: str = "5m"
    cacheAuthorizedRequests: bool = True
    unauthorizedTTL: str = "30s"
    cacheUnauthorizedRequests: bool = True
    timeout: str = ""
    subjectAccessReviewVersion: str = ""
    matchConditionSubjectAccessReviewVersion: str = ""
    failurePolicy: str = ""
    connectionInfo: ConnectionSpec = ConnectionSpec()
    matchConditions: list[ConditionSpec] = []


class AuthorizerSpec(Strict, frozen=True):
    type: str = ""
    name: str = ""
    webhook: WebhookSpec | None = None


class FileSpec(Strict, frozen=True):
    apiVersion: str = ""
    kind: str = ""
    authorizers: list[AuthorizerSpec] = []


@dataclass(slots=True)
class Built:
    """Authorizers in their order, and the webhooks among them."""

    authorizers: list[Authorizer] = field(default_factory=list)
    webhooks: list[AuthorizationWebhook] = field(default_factory=list)

    async def close(self) -> None:
        for webhook in self.webhooks:
            await webhook.close()


@dataclass(frozen=True, slots=True)
class Parts:
    """What authorizers are made of; those with a state of their own are shared by successive configurations."""

    objects: Objects
    rbac: Rbac
    node: NodeAuthorizer
    clock: Clock


def build(config: SecurityConfig, parts: Parts) -> Built:
    """Raises ConfigurationProblem, OSError, and ValueError for files that cannot be read."""
    if config.authorization_config:
        if config.authorization_modes != SecurityConfig().authorization_modes or config.authorization_webhook_file:
            raise ConfigurationProblem(
                "--authorization-config can not be specified when --authorization-mode or --authorization-webhook-* "
                "flags are defined"
            )
        return _by_file(config.authorization_config, parts)
    problems = mode_problems(config)
    if problems:
        raise ConfigurationProblem(errors.aggregate(problems))
    found = Built()
    for mode in config.authorization_modes:
        if mode == "Webhook":
            webhook = WebhookConfig(
                version=config.authorization_webhook_version,
                authorized_seconds=config.authorization_cache_authorized_seconds,
                unauthorized_seconds=config.authorization_cache_unauthorized_seconds,
            )
            _add_webhook(found, config.authorization_webhook_file, webhook, parts)
        else:
            found.authorizers.append(_simple(mode, config, parts))
    return found


def mode_problems(config: SecurityConfig) -> list[str]:
    """What is wrong with the modes, in kube-apiserver's words."""
    modes = config.authorization_modes
    found = [] if modes else ["at least one authorization-mode must be passed"]
    for mode in modes:
        if mode not in MODES:
            found.append(f"authorization-mode {quote(mode)} is not a valid mode")
        if mode == "ABAC" and not config.authorization_policy_file:
            found.append("authorization-mode ABAC's authorization policy file not passed")
        if mode == "Webhook" and not config.authorization_webhook_file:
            found.append("authorization-mode Webhook's authorization config file not passed")
    if config.authorization_policy_file and "ABAC" not in modes:
        found.append("cannot specify --authorization-policy-file without mode ABAC")
    if config.authorization_webhook_file and "Webhook" not in modes:
        found.append("cannot specify --authorization-webhook-config-file without mode Webhook")
    if len(modes) != len(set(modes)):
        listed = "[" + " ".join(map(quote, modes)) + "]"
        found.append(f"authorization-mode {listed} has mode specified more than once")
    return found


def _simple(mode: str, config: SecurityConfig, parts: Parts) -> Authorizer:
    if mode == "ABAC":
        return Abac(policies(config.authorization_policy_file))
    if mode == "RBAC":
        return parts.rbac
    if mode == "Node":
        return parts.node
    return AlwaysAllow() if mode == "AlwaysAllow" else AlwaysDeny()


def _add_webhook(found: Built, file: str, config: WebhookConfig, parts: Parts) -> None:
    webhook = AuthorizationWebhook(Remote(target_of(file), config.timeout_seconds), config, parts.clock)
    found.webhooks.append(webhook)
    found.authorizers.append(webhook)


def _by_file(path: str, parts: Parts) -> Built:
    spec: FileSpec = read_as(path, "AuthorizationConfiguration", FileSpec)
    problems: list[fields.FieldError] = []
    configs = [_webhook_config(one, f"authorizers[{number}]", problems) for number, one in enumerate(spec.authorizers)]
    problems = [*_file_problems(spec.authorizers), *problems]
    if problems:
        raise ConfigurationProblem(errors.aggregate([str(one) for one in problems]))
    found = Built()
    for one, config in zip(spec.authorizers, configs, strict=True):
        if config is None:
            found.authorizers.append(_simple(one.type, SecurityConfig(), parts))
        elif one.webhook is not None:
            _add_webhook(found, one.webhook.connectionInfo.kubeConfigFile or "", config, parts)
    return found


def _file_problems(specs: Sequence[AuthorizerSpec]) -> list[fields.FieldError]:
    found = [] if specs else [fields.required("authorizers", "at least one authorization mode must be defined")]
    types = collections.Counter(one.type for one in specs)
    seen: set[str] = set()
    for number, one in enumerate(specs):
        path = f"authorizers[{number}]"
        if one.type not in TYPES or one.type == "ABAC":
            found.append(fields.not_supported(f"{path}.type", one.type, sorted(set(TYPES) - {"ABAC"})))
        elif types[one.type] > 1 and one.type != "Webhook":
            found.append(fields.duplicate(f"{path}.type", one.type))
        if not one.name:
            found.append(fields.required(f"{path}.name", ""))
        elif one.name in seen:
            found.append(fields.duplicate(f"{path}.name", one.name))
        elif names.dns1123_subdomain(one.name):
            found.append(fields.invalid(f"{path}.name", one.name, "authorizer name is invalid"))
        seen.add(one.name)
        if one.type != "Webhook" and one.webhook is not None:
            found.append(fields.invalid(f"{path}.webhook", "non-null", "may only be specified when type=Webhook"))
    return found


def _webhook_config(one: AuthorizerSpec, path: str, problems: list[fields.FieldError]) -> WebhookConfig | None:
    if one.type != "Webhook":
        return None
    spec, path = one.webhook, f"{path}.webhook"
    if spec is None:
        problems.append(fields.required(path, "required when type=Webhook"))
        return WebhookConfig()
    connection = spec.connectionInfo
    if connection.type != "KubeConfigFile":
        # Another server's own cluster is reached by a file, too; ours is not inside of one.
        problems.append(fields.not_supported(f"{path}.connectionInfo.type", connection.type, ["KubeConfigFile"]))
    elif not connection.kubeConfigFile:
        problems.append(fields.required(f"{path}.connectionInfo.kubeConfigFile", ""))
    _one_of(spec.subjectAccessReviewVersion, ("v1", "v1beta1"), f"{path}.subjectAccessReviewVersion", problems)
    _one_of(spec.failurePolicy, ("NoOpinion", "Deny"), f"{path}.failurePolicy", problems)
    if len(spec.matchConditions) > CONDITIONS_MAX:
        problems.append(fields.too_many(f"{path}.matchConditions", len(spec.matchConditions), CONDITIONS_MAX))
    return WebhookConfig(
        one.name,
        spec.subjectAccessReviewVersion,
        _seconds(spec.timeout, f"{path}.timeout", problems),
        _seconds(spec.authorizedTTL, f"{path}.authorizedTTL", problems) if spec.cacheAuthorizedRequests else 0.0,
        _seconds(spec.unauthorizedTTL, f"{path}.unauthorizedTTL", problems) if spec.cacheUnauthorizedRequests else 0.0,
        spec.failurePolicy == "Deny",
        tuple(_conditions(spec.matchConditions, path, problems)),
    )


def _conditions(specs: Sequence[ConditionSpec], path: str, problems: list[fields.FieldError]) -> list[Expression]:
    found = []
    for number, spec in enumerate(specs[:CONDITIONS_MAX]):
        where = f"{path}.matchConditions[{number}].expression"
        if not spec.expression.strip():
            problems.append(fields.required(where, ""))
            continue
        try:
            found.append(Expression(spec.expression, ["request"], boolean=True))
        except ExpressionProblem as problem:
            problems.append(fields.invalid(where, spec.expression, str(problem)))
    return found


def _one_of(value: str, allowed: Sequence[str], path: str, problems: list[fields.FieldError]) -> None:
    if not value:
        problems.append(fields.required(path, ""))
    elif value not in allowed:
        problems.append(fields.not_supported(path, value, list(allowed)))


def _seconds(text: str, path: str, problems: list[fields.FieldError]) -> float:
    if not text:
        problems.append(fields.required(path, ""))
        return 0.0
    try:
        found = times.parse_duration(text)
    except ValueError as problem:
        problems.append(fields.invalid(path, text, str(problem)))
        return 0.0
    if found <= 0:
        problems.append(fields.invalid(path, text, "must be greater than zero"))
    return found
