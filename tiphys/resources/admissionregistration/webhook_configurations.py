"""MutatingWebhookConfiguration and ValidatingWebhookConfiguration.

Source: admissionregistration validation and defaulting of Kubernetes 1.36, by behaviour and messages.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from tiphys.api import admissionregistration_v1
from tiphys.machinery import fields
from tiphys.resources import checks
from tiphys.resources.admissionregistration import clients, expressions, matching
from tiphys.resources.checks import Errors
from tiphys.resources.columns import AGE, NAME
from tiphys.resources.rules import Column, Resource
from tiphys.resources.strategies import FunctionStrategy

REVIEW_VERSIONS: Final = ("v1", "v1beta1")
WITHOUT_EFFECTS: Final = ("None", "NoneOnDryRun")
SIDE_EFFECTS: Final = ("None", "NoneOnDryRun", "Some", "Unknown")
TIMEOUT: Final = "the timeout value must be between 1 and 30 seconds"


class Strictness(NamedTuple):
    """What is asked of webhooks; an update asks no more than the stored object fulfils."""

    conditions: bool = True
    no_side_effects: bool = True
    known_versions: bool = True
    unique_names: bool = True
    selectors: bool = True


def default(configuration: Any) -> None:
    for webhook in configuration.webhooks or ():
        if webhook.failurePolicy is None:
            webhook.failurePolicy = "Fail"
        if webhook.timeoutSeconds is None:
            webhook.timeoutSeconds = 10
        if isinstance(webhook, admissionregistration_v1.MutatingWebhook) and webhook.reinvocationPolicy is None:
            webhook.reinvocationPolicy = "Never"
        matching.default_selection(webhook)
        matching.default_rules(webhook.rules)
        service = webhook.clientConfig.service
        if service is not None and service.port is None:
            service.port = 443


def validate(configuration: Any, strict: Strictness | None = None) -> Errors:
    strict = strict or Strictness()
    errs: Errors = []
    seen: set[str] = set()
    for index, webhook in enumerate(configuration.webhooks or ()):
        path = f"webhooks[{index}]"
        _webhook(errs, path, webhook, strict)
        _versions(errs, f"{path}.admissionReviewVersions", webhook.admissionReviewVersions, strict)
        if strict.unique_names and webhook.name:
            if webhook.name in seen:
                errs.append(fields.duplicate(f"{path}.name", webhook.name))
            seen.add(webhook.name)
    return errs


def _webhook(errs: Errors, path: str, webhook: Any, strict: Strictness) -> None:
    _full_name(errs, f"{path}.name", webhook.name)
    for index, rule in enumerate(webhook.rules or ()):
        matching.rule(errs, f"{path}.rules[{index}]", rule)
    if webhook.failurePolicy is not None:
        checks.one_of(errs, f"{path}.failurePolicy", webhook.failurePolicy, matching.FAILURE_POLICIES)
    if webhook.matchPolicy is not None:
        checks.one_of(errs, f"{path}.matchPolicy", webhook.matchPolicy, matching.MATCH_POLICIES)
    allowed = WITHOUT_EFFECTS if strict.no_side_effects else SIDE_EFFECTS
    if not webhook.sideEffects:
        errs.append(fields.required(f"{path}.sideEffects", f"must specify one of {', '.join(allowed)}"))
    else:
        checks.one_of(errs, f"{path}.sideEffects", webhook.sideEffects, allowed)
    if webhook.timeoutSeconds is not None and not 1 <= webhook.timeoutSeconds <= 30:
        errs.append(fields.invalid(f"{path}.timeoutSeconds", webhook.timeoutSeconds, TIMEOUT))
    if strict.selectors:
        checks.label_selector(errs, f"{path}.namespaceSelector", webhook.namespaceSelector)
        checks.label_selector(errs, f"{path}.objectSelector", webhook.objectSelector)
    policy = getattr(webhook, "reinvocationPolicy", None)
    if policy is not None:
        checks.one_of(errs, f"{path}.reinvocationPolicy", policy, matching.REINVOCATION_POLICIES)
    clients.client_config(errs, f"{path}.clientConfig", webhook.clientConfig)
    if strict.conditions:
        expressions.match_conditions(errs, f"{path}.matchConditions", webhook.matchConditions)


def _full_name(errs: Errors, path: str, name: str) -> None:
    if not name:
        errs.append(fields.required(path))
    elif found := checks.dns1123_subdomain(name):
        errs.append(fields.invalid(path, name, ",".join(found)))
    elif name.count(".") < 2:
        why = "should be a domain with at least three segments separated by dots"
        errs.append(fields.invalid(path, name, why))


def _versions(errs: Errors, path: str, versions: Sequence[str], strict: Strictness) -> None:
    known = ", ".join(REVIEW_VERSIONS)
    if not versions:
        errs.append(fields.required(path, f"must specify one of {known}"))
        return
    seen: set[str] = set()
    for index, version in enumerate(versions):
        if version in seen:
            errs.append(fields.invalid(f"{path}[{index}]", version, "duplicate version"))
            continue
        seen.add(version)
        checks.form(errs, f"{path}[{index}]", version, checks.dns1035_label)
    if strict.known_versions and not seen.intersection(REVIEW_VERSIONS):
        errs.append(fields.invalid(path, list(versions), f"must include at least one of {known}"))


def validate_change(new: Any, old: Any) -> Errors:
    return validate(new, strictness(new, old))


def strictness(new: Any, old: Any) -> Strictness:
    """What an update of ``old`` must fulfil."""
    before, after = old.webhooks or [], new.webhooks or []
    names = [one.name for one in before]
    selectors: Errors = []
    for one in before:
        checks.label_selector(selectors, "", one.namespaceSelector)
        checks.label_selector(selectors, "", one.objectSelector)
    return Strictness(
        conditions=[one.matchConditions for one in before] != [one.matchConditions for one in after],
        no_side_effects=all(one.sideEffects in WITHOUT_EFFECTS for one in before),
        known_versions=all(
            not one.admissionReviewVersions or set(one.admissionReviewVersions) & set(REVIEW_VERSIONS) for one in before
        ),
        unique_names=len(set(names)) == len(names),
        selectors=not selectors,
    )


class _Strategy(FunctionStrategy):
    """An update is judged by what the stored object fulfils; the generation counts changes of the webhooks."""

    def __init__(self) -> None:
        super().__init__(default, validate, unconditional_update=False)

    def spec_changed(self, obj: Any, old: Any) -> bool:
        return bool(obj.webhooks != old.webhooks)

    def validate_update(self, obj: Any, old: Any) -> Errors:
        return validate_change(obj, old)


def _row(kind: str, cls: Any) -> Resource:
    return Resource(
        group="admissionregistration.k8s.io",
        version="v1",
        kind=kind,
        plural=f"{kind.lower()}s",
        cls=cls,
        strategy=_Strategy(),
        namespaced=False,
        categories=("api-extensions",),
        columns=(
            NAME,
            Column(
                "Webhooks", lambda each, now: len(each.webhooks or ()), "integer", description="How many there are."
            ),
            AGE,
        ),
    )


ROWS: Final = (
    _row("MutatingWebhookConfiguration", admissionregistration_v1.MutatingWebhookConfiguration),
    _row("ValidatingWebhookConfiguration", admissionregistration_v1.ValidatingWebhookConfiguration),
)
