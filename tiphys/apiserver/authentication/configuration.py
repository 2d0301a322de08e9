"""Which authenticators there are: from flags, or from an AuthenticationConfiguration file.

Source: Kubernetes docs, "Authenticating", Using Authentication Configuration;
kube-apiserver configuration (v1), AuthenticationConfiguration.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import yaml

from tiphys.apiserver.authentication.chain import Anonymous
from tiphys.apiserver.authentication.mapping import Mapping, Rule, Source
from tiphys.apiserver.authentication.oidc import ASYMMETRIC, Issuer
from tiphys.apiserver.config import Misconfigured, SecurityConfig
from tiphys.apiserver.expressions import Expression, ExpressionProblem
from tiphys.machinery import errors, fields

GROUP: Final = "apiserver.config.k8s.io"
VERSIONS: Final = ("v1", "v1beta1", "v1alpha1")
ISSUERS_MAX: Final = 64


class ConfigurationProblem(Misconfigured):
    """Flags or a file that contradict themselves; the text says where."""


class Strict(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A misspelt field must not open a door."""


class IssuerSpec(Strict, frozen=True):
    url: str = ""
    discoveryURL: str | None = None
    certificateAuthority: str = ""
    audiences: list[str] = []
    audienceMatchPolicy: str = ""
    egressSelectorType: str = ""


class ClaimRuleSpec(Strict, frozen=True):
    claim: str = ""
    requiredValue: str = ""
    expression: str = ""
    message: str = ""


class PrefixedSpec(Strict, frozen=True):
    claim: str = ""
    prefix: str | None = None
    expression: str = ""


class ClaimSpec(Strict, frozen=True):
    claim: str = ""
    expression: str = ""


class ExtraSpec(Strict, frozen=True):
    key: str = ""
    valueExpression: str = ""


class MappingsSpec(Strict, frozen=True):
    username: PrefixedSpec = PrefixedSpec()
    groups: PrefixedSpec = PrefixedSpec()
    uid: ClaimSpec = ClaimSpec()
    extra: list[ExtraSpec] = []


class UserRuleSpec(Strict, frozen=True):
    expression: str = ""
    message: str = ""


class JwtSpec(Strict, frozen=True):
    issuer: IssuerSpec = IssuerSpec()
    claimValidationRules: list[ClaimRuleSpec] = []
    claimMappings: MappingsSpec = MappingsSpec()
    userValidationRules: list[UserRuleSpec] = []


class ConditionSpec(Strict, frozen=True):
    path: str = ""


class AnonymousSpec(Strict, frozen=True):
    enabled: bool = False
    conditions: list[ConditionSpec] = []


class FileSpec(Strict, frozen=True):
    apiVersion: str = ""
    kind: str = ""
    jwt: list[JwtSpec] = []
    anonymous: AnonymousSpec | None = None


@dataclass(frozen=True, slots=True)
class JwtIssuer:
    """One issuer, ready to be asked for its keys. ``ca`` is PEM; empty for the system's authorities."""

    issuer: Issuer
    mapping: Mapping
    ca: bytes = b""
    discovery_url: str = ""


@dataclass(frozen=True, slots=True)
class Configured:
    """What flags and file come to."""

    issuers: tuple[JwtIssuer, ...]
    anonymous: Anonymous


def configured(config: SecurityConfig) -> Configured:
    """Raises ConfigurationProblem, OSError."""
    anonymous = Anonymous(config.anonymous is not False)
    if not config.authentication_config:
        return Configured(tuple(_by_flags(config)), anonymous)
    if config.oidc_issuer_url or config.oidc_client_id:
        raise ConfigurationProblem("authentication-config file and oidc-* flags are mutually exclusive")
    found = read(config.authentication_config)
    if found.anonymous is not None:
        if config.anonymous is not None:
            raise ConfigurationProblem(
                "--anonymous-auth flag cannot be set when anonymous field is configured in "
                "authentication configuration file"
            )
        paths = frozenset(one.path for one in found.anonymous.conditions) or None
        anonymous = Anonymous(found.anonymous.enabled, paths)
    problems = list(_problems(found, config.issuers))
    issuers = tuple(_issuer(spec, f"jwt[{number}]", problems) for number, spec in enumerate(found.jwt))
    if problems:
        raise ConfigurationProblem(errors.aggregate([str(one) for one in problems]))
    return Configured(issuers, anonymous)


def read(path: str) -> FileSpec:
    """Raises ConfigurationProblem, OSError."""
    found: FileSpec = read_as(path, "AuthenticationConfiguration", FileSpec)
    return found


def read_as(path: str, kind: str, cls: type[Any]) -> Any:
    """A file of this kind and of any version that is served. Raises ConfigurationProblem, OSError."""
    try:
        raw = yaml.load(Path(path).read_bytes(), yaml.CSafeLoader)
        if not isinstance(raw, dict):
            raise ConfigurationProblem(f"{path}: a {kind} is expected")
        version = raw.get("apiVersion")
        if raw.get("kind") != kind or version not in [f"{GROUP}/{one}" for one in VERSIONS]:
            raise ConfigurationProblem(f'{path}: no kind "{raw.get("kind")}" is registered for version "{version}"')
        return msgspec.convert(raw, cls)
    except (yaml.YAMLError, msgspec.ValidationError) as problem:
        raise ConfigurationProblem(f"{path}: strict decoding error: {problem}") from problem


def _by_flags(config: SecurityConfig) -> Iterator[JwtIssuer]:
    url, client = config.oidc_issuer_url, config.oidc_client_id
    if bool(url) != bool(client):
        raise ConfigurationProblem(
            "oidc-issuer-url and oidc-client-id must be specified together when any oidc-* flags are set"
        )
    if not url:
        return
    if urlsplit(url).scheme != "https":
        raise ConfigurationProblem(f"oidc-issuer-url: Invalid value: {url}: URL scheme must be https")
    for algorithm in config.oidc_signing_algs:
        if algorithm not in ASYMMETRIC:
            raise ConfigurationProblem(f"oidc-signing-algs: unsupported signing alg: {algorithm}")
    required = [one.partition("=") for one in config.oidc_required_claims]
    prefix = config.oidc_username_prefix
    if not prefix and config.oidc_username_claim != "email":
        prefix = f"{url}#"
    mapping = Mapping(
        Source(config.oidc_username_claim, "" if prefix == "-" else prefix),
        Source(config.oidc_groups_claim, config.oidc_groups_prefix) if config.oidc_groups_claim else None,
        claim_rules=tuple(Rule(claim, value) for claim, _, value in required),
    )
    ca = Path(config.oidc_ca_file).read_bytes() if config.oidc_ca_file else b""
    yield JwtIssuer(Issuer(url, (client,), config.oidc_signing_algs), mapping, ca)


def _problems(found: FileSpec, own_issuers: tuple[str, ...]) -> Iterator[fields.FieldError]:
    if len(found.jwt) > ISSUERS_MAX:
        yield fields.too_many("jwt", len(found.jwt), ISSUERS_MAX)
    seen: set[str] = set()
    for number, spec in enumerate(found.jwt):
        path = f"jwt[{number}].issuer"
        yield from _issuer_problems(spec.issuer, path, own_issuers)
        for url in filter(None, {spec.issuer.url, spec.issuer.discoveryURL}):
            if url in seen:
                yield fields.duplicate(f"{path}.url", url)
            seen.add(url)
    anonymous = found.anonymous
    if anonymous is not None and not anonymous.enabled and anonymous.conditions:
        why = "enabled should be set to true when conditions are defined"
        yield fields.invalid("anonymous.conditions", [one.path for one in anonymous.conditions], why)


def _issuer_problems(spec: IssuerSpec, path: str, own_issuers: tuple[str, ...]) -> Iterator[fields.FieldError]:
    if not spec.url:
        yield fields.required(f"{path}.url", "URL is required")
    else:
        yield from _url_problems(spec.url, f"{path}.url")
    if spec.url in own_issuers:
        yield fields.invalid(
            f"{path}.url", spec.url, f"URL must not overlap with disallowed issuers: {list(own_issuers)}"
        )
    if spec.discoveryURL:
        yield from _url_problems(spec.discoveryURL, f"{path}.discoveryURL")
        if spec.discoveryURL.rstrip("/") == spec.url.rstrip("/"):
            yield fields.invalid(f"{path}.discoveryURL", spec.discoveryURL, "discoveryURL must be different from URL")
    if not spec.audiences:
        yield fields.required(f"{path}.audiences", f"at least one {path}.audiences is required")
    for number, audience in enumerate(spec.audiences):
        if not audience:
            yield fields.required(f"{path}.audiences[{number}]", "audience can't be empty")
    if len(spec.audiences) > 1 and spec.audienceMatchPolicy != "MatchAny":
        why = "audienceMatchPolicy must be MatchAny for multiple audiences"
        yield fields.invalid(f"{path}.audienceMatchPolicy", spec.audienceMatchPolicy, why)
    elif spec.audienceMatchPolicy not in ("", "MatchAny"):
        why = "audienceMatchPolicy must be empty or MatchAny for single audience"
        yield fields.invalid(f"{path}.audienceMatchPolicy", spec.audienceMatchPolicy, why)


def _url_problems(url: str, path: str) -> Iterator[fields.FieldError]:
    parts = urlsplit(url)
    if parts.scheme != "https":
        yield fields.invalid(path, url, "URL scheme must be https")
    if parts.username or parts.password:
        yield fields.invalid(path, url, "URL must not contain a username or password")
    if parts.query:
        yield fields.invalid(path, url, "URL must not contain a query")
    if parts.fragment:
        yield fields.invalid(path, url, "URL must not contain a fragment")


def _issuer(spec: JwtSpec, path: str, problems: list[fields.FieldError]) -> JwtIssuer:
    mappings = spec.claimMappings
    where = f"{path}.claimMappings"
    username = _prefixed(mappings.username, f"{where}.username", problems)
    if username is None:
        problems.append(fields.required(f"{where}.username", "claim or expression is required"))
    uid = mappings.uid
    if uid.claim and uid.expression:
        problems.append(fields.invalid(f"{where}.uid", "", "claim and expression can't both be set"))
    extra = [
        (one.key, compiled)
        for number, one in enumerate(mappings.extra)
        if (compiled := _compiled(one.valueExpression, "claims", f"{where}.extra[{number}].valueExpression", problems))
    ]
    mapping = Mapping(
        username or Source(),
        _prefixed(mappings.groups, f"{where}.groups", problems),
        Source(uid.claim, "", _compiled(uid.expression, "claims", f"{where}.uid.expression", problems))
        if uid.claim or uid.expression
        else None,
        tuple(extra),
        tuple(_rules(spec.claimValidationRules, f"{path}.claimValidationRules", problems)),
        tuple(
            Rule(
                expression=_compiled(
                    one.expression, "user", f"{path}.userValidationRules[{number}].expression", problems, boolean=True
                ),
                message=one.message,
            )
            for number, one in enumerate(spec.userValidationRules)
        ),
    )
    issuer = Issuer(spec.issuer.url, tuple(spec.issuer.audiences), ASYMMETRIC)
    return JwtIssuer(issuer, mapping, spec.issuer.certificateAuthority.encode(), spec.issuer.discoveryURL or "")


def _prefixed(spec: PrefixedSpec, path: str, problems: list[fields.FieldError]) -> Source | None:
    if not spec.claim and not spec.expression:
        return None
    if spec.claim and spec.expression:
        problems.append(fields.invalid(path, "", "claim and expression can't both be set"))
    if spec.expression and spec.prefix is not None:
        problems.append(fields.invalid(f"{path}.prefix", spec.prefix, "prefix can't be set when expression is set"))
    if spec.claim and spec.prefix is None:
        why = "prefix is required when claim is set. It can be set to an empty string to disable prefixing"
        problems.append(fields.required(f"{path}.prefix", why))
    return Source(spec.claim, spec.prefix or "", _compiled(spec.expression, "claims", f"{path}.expression", problems))


def _rules(specs: list[ClaimRuleSpec], path: str, problems: list[fields.FieldError]) -> Iterator[Rule]:
    for number, spec in enumerate(specs):
        where = f"{path}[{number}]"
        if bool(spec.claim) == bool(spec.expression):
            why = "claim and expression can't both be set" if spec.claim else "claim or expression is required"
            problems.append(fields.invalid(where, spec.claim, why) if spec.claim else fields.required(where, why))
        expression = _compiled(spec.expression, "claims", f"{where}.expression", problems, boolean=True)
        yield Rule(spec.claim, spec.requiredValue, expression, spec.message)


def _compiled(
    text: str, variable: str, path: str, problems: list[fields.FieldError], *, boolean: bool = False
) -> Expression | None:
    if not text:
        return None
    try:
        return Expression(text, [variable], boolean=boolean)
    except ExpressionProblem as problem:
        problems.append(fields.invalid(path, text, str(problem)))
        return None
