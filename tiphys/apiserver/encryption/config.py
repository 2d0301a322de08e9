"""The file of ``--encryption-provider-config``: its shape, its defaults and what is wrong with it.

Source: Kubernetes docs, "Encryption Configuration (v1)"; sentences of refusals as kube-apiserver's.
"""

import base64
import binascii
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import yaml

from tiphys.machinery import fields, times
from tiphys.machinery.fields import FieldError
from tiphys.store.interface import StoreError

API_VERSIONS: Final = ("apiserver.config.k8s.io/v1", "v1")
KMS_TIMEOUT: Final = "3s"
KEY_BYTES: Final = {"aesgcm": (16, 24, 32), "aescbc": (16, 24, 32), "secretbox": (32,)}
NO_REST: Final = ("apiserveripinfo", "serviceipallocations", "servicenodeportallocations")


class ConfigError(StoreError):
    """The file cannot be used; the text says why."""


class Key(msgspec.Struct, forbid_unknown_fields=True):
    name: str = ""
    secret: str = ""


class Keys(msgspec.Struct, forbid_unknown_fields=True):
    keys: list[Key] = []


class Identity(msgspec.Struct, forbid_unknown_fields=True):
    pass


class Kms(msgspec.Struct, forbid_unknown_fields=True):
    apiVersion: str = "v1"
    name: str = ""
    endpoint: str = ""
    timeout: str = KMS_TIMEOUT
    cachesize: int | None = None


class Provider(msgspec.Struct, forbid_unknown_fields=True):
    aesgcm: Keys | None = None
    aescbc: Keys | None = None
    secretbox: Keys | None = None
    identity: Identity | None = None
    kms: Kms | None = None

    def kinds(self) -> list[str]:
        """Those that are set."""
        return [name for name in self.__struct_fields__ if getattr(self, name) is not None]


class Rule(msgspec.Struct, forbid_unknown_fields=True):
    resources: list[str] = []
    providers: list[Provider] = []


class Configuration(msgspec.Struct, forbid_unknown_fields=True):
    apiVersion: str = ""
    kind: str = ""
    resources: list[Rule] = []


def load(path: str) -> Configuration:
    """The checked configuration in the file; raises ConfigError."""
    try:
        data = Path(path).read_bytes()
    except OSError as problem:
        raise ConfigError(f'error opening encryption provider configuration file "{path}": {problem}') from problem
    if not data:
        raise ConfigError(f'encryption provider configuration file "{path}" is empty')
    try:
        found = msgspec.convert(yaml.load(data, Loader=yaml.CSafeLoader), Configuration)
    except (yaml.YAMLError, msgspec.ValidationError) as problem:
        raise ConfigError(f'error decoding encryption provider configuration file "{path}": {problem}') from problem
    if found.kind != "EncryptionConfiguration" or found.apiVersion not in API_VERSIONS:
        raise ConfigError(f"got unexpected config type: {found.apiVersion}, Kind={found.kind}")
    problems = validate(found)
    if problems:
        texts = [str(problem) for problem in problems]
        raise ConfigError(texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]")
    return found


def group_resource(text: str) -> tuple[str, str]:
    """Group and resource of ``deployments.apps``, ``secrets``, ``*.apps``, ``*.`` (the core group) or ``*.*``."""
    resource, _, group = text.partition(".")
    return group, resource


def validate(configuration: Configuration) -> list[FieldError]:
    """All that is wrong."""
    if not configuration.resources:
        return [fields.required("resources", "at least one resources is required")]
    return list(_rules(configuration.resources))


def _rules(rules: Sequence[Rule]) -> Iterator[FieldError]:
    names: set[str] = set()
    for index, rule in enumerate(rules):
        at = f"resources[{index}]"
        if not rule.resources:
            yield fields.required(f"{at}.resources", f"at least one {at}.resources is required")
        yield from _overlap(rule.resources, f"{at}.resources")
        for number, resource in enumerate(rule.resources):
            why = _resource_problem(resource)
            if why:
                yield fields.invalid(f"{at}.resources[{number}]", resource, why)
        if not rule.providers:
            yield fields.required(f"{at}.providers", f"at least one {at}.providers is required")
        for number, provider in enumerate(rule.providers):
            yield from _provider(provider, f"{at}.providers[{number}]", names)


def _overlap(resources: list[str], at: str) -> Iterator[FieldError]:
    parsed = [group_resource(resource) for resource in resources]
    if len(set(parsed)) < len(parsed):
        yield fields.invalid(at, resources, "the same resource cannot be specified multiple times")
    distinct = set(parsed)
    groups = [group for group, _ in distinct]
    if len(distinct) > 1 and (
        ("*", "*") in distinct or any(resource == "*" and groups.count(group) > 1 for group, resource in distinct)
    ):
        yield fields.invalid(
            at,
            resources,
            "using overlapping resources such as 'secrets' and '*.' in the same resource list is not allowed as they "
            "will be masked",
        )


def _resource_problem(text: str) -> str:
    group, resource = group_resource(text)
    if text.lower() != text:
        return "resource name should not contain capital letters"
    if text == "*":
        return "use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources"
    if text in NO_REST:
        return "resources which do not have REST API/s cannot be encrypted"
    if group == "events.k8s.io":
        return (
            "'*.events.k8s.io' objects are stored using the 'events' API group in etcd. Use 'events' instead in the "
            "config file"
        )
    if group == "extensions":
        return "'extensions' group has been removed and cannot be used for encryption"
    if group == "*" and resource != "*":
        return "encrypting the same resource across groups is not supported"
    return ""


def _provider(provider: Provider, at: str, names: set[str]) -> Iterator[FieldError]:
    kinds = provider.kinds()
    if not kinds:
        yield fields.invalid(
            at,
            {},
            "provider does not contain any of the expected providers: KMS, AESGCM, AESCBC, Secretbox, Identity",
        )
    if len(kinds) > 1:
        why = "more than one provider specified in a single element, should split into different list elements"
        yield fields.invalid(at, dict.fromkeys(kinds, "REDACTED"), why)
    for kind in kinds[:1]:
        if kind == "kms" and provider.kms is not None:
            yield from _kms(provider.kms, f"{at}.kms", names)
            names.add(provider.kms.name)
        elif kind in KEY_BYTES:
            yield from _keys(getattr(provider, kind).keys, f"{at}.{kind}.keys", KEY_BYTES[kind])


def _keys(keys: Sequence[Key], at: str, sizes: Sequence[int]) -> Iterator[FieldError]:
    if not keys:
        yield fields.required(at, "at least one keys is required")
    for index, key in enumerate(keys):
        if not key.name:
            yield fields.required(f"{at}[{index}].name", "name is a mandatory field for a key")
        place = f"{at}[{index}].secret"
        if not key.secret:
            yield fields.required(place, "secret is a mandatory field for a key")
            continue
        try:
            size = len(base64.b64decode(key.secret, validate=True))
        except (binascii.Error, ValueError):
            yield fields.invalid(place, "REDACTED", "secrets must be base64 encoded")
            continue
        if size not in sizes:
            expected = " ".join(map(str, sizes))
            why = f"secret is not of the expected length, got {size}, expected one of [{expected}]"
            yield fields.invalid(place, "REDACTED", why)


def _kms(kms: Kms, at: str, names: set[str]) -> Iterator[FieldError]:
    if not kms.name:
        yield fields.required(f"{at}.name", "name is a mandatory field for a provider")
    if ":" in kms.name and kms.apiVersion != "v1":
        why = f"invalid KMS provider name {kms.name}, must not contain ':'"
        yield fields.invalid(f"{at}.name", kms.name, why)
    if kms.name in names:
        why = f"duplicate KMS provider name {kms.name}, names must be unique"
        yield fields.invalid(f"{at}.name", kms.name, why)
    if seconds_of(kms.timeout) <= 0:
        yield fields.invalid(f"{at}.timeout", kms.timeout, "timeout should be a positive value")
    yield from _endpoint(kms.endpoint, f"{at}.endpoint")
    if kms.apiVersion not in ("v1", "v2"):
        why = "unsupported apiVersion apiVersion for KMS provider, only v1 and v2 are supported"
        yield fields.invalid(f"{at}.apiVersion", kms.apiVersion, why)
    if kms.apiVersion != "v1" and kms.cachesize is not None:
        yield fields.invalid(f"{at}.cachesize", kms.cachesize, "cachesize is not supported in v2")
    if kms.apiVersion == "v1":
        # Disabled by default since 1.29; here it does not exist.
        why = "KMS API v1 is deprecated and not supported: use apiVersion v2"
        yield fields.invalid(f"{at}.apiVersion", kms.apiVersion, why)


def _endpoint(endpoint: str, at: str) -> Iterator[FieldError]:
    if not endpoint:
        yield fields.invalid(at, "", "endpoint is a mandatory field for a kms")
        return
    scheme = urlsplit(endpoint).scheme
    if scheme != "unix":
        yield fields.invalid(at, endpoint, f'unsupported scheme "{scheme}" for KMS provider, only unix is supported')


def seconds_of(duration: str) -> float:
    """0 for what is no duration."""
    try:
        return times.parse_duration(duration)
    except ValueError:
        return 0.0


def secret_of(key: Key) -> bytes:
    return base64.b64decode(key.secret)


def masked(rules: Sequence[Rule]) -> dict[tuple[str, str], list[Any]]:
    """The providers of each group and resource, in the order of the file. Raises ConfigError."""
    found: dict[tuple[str, str], list[Any]] = {}
    for rule in rules:
        for text in rule.resources:
            group, resource = group_resource(text)
            for wide in ((group, "*"), ("*", "*")):
                if wide in found:
                    raise ConfigError(f'resource "{text}" is masked by earlier rule "{wide[1]}.{wide[0]}"')
            found.setdefault((group, resource), []).extend(rule.providers)
    return found
