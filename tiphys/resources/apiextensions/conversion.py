"""Validation of how versions are converted."""

from collections.abc import Sequence
from typing import Final

from tiphys.api import apiextensions_v1
from tiphys.machinery import fields, names
from tiphys.machinery.fields import FieldError

STRATEGIES: Final = ("None", "Webhook")
REVIEWS: Final = ("v1", "v1beta1")


def validate(conversion: apiextensions_v1.CustomResourceConversion | None, path: str) -> list[FieldError]:
    """All that is wrong; the paths of a webhook are those of Kubernetes' internal type."""
    if conversion is None:
        return []
    strategy, webhook = conversion.strategy, conversion.webhook
    if not strategy:
        return [fields.required(f"{path}.strategy")]
    if strategy not in STRATEGIES:
        return [fields.not_supported(f"{path}.strategy", strategy, STRATEGIES)]
    if strategy == "None":
        detail = "should not be set when strategy is not set to Webhook"
        errs = []
        if webhook is not None and webhook.clientConfig is not None:
            errs.append(fields.forbidden(f"{path}.webhookClientConfig", detail))
        if webhook is not None and webhook.conversionReviewVersions:
            errs.append(fields.forbidden(f"{path}.conversionReviewVersions", detail))
        return errs
    if webhook is None or webhook.clientConfig is None:
        errs = [fields.required(f"{path}.webhookClientConfig", "required when strategy is set to Webhook")]
    else:
        errs = _client(webhook.clientConfig, f"{path}.webhookClientConfig")
    return errs + _reviews((webhook and webhook.conversionReviewVersions) or (), f"{path}.conversionReviewVersions")


def _client(client: apiextensions_v1.WebhookClientConfig, path: str) -> list[FieldError]:
    if (client.url is None) == (client.service is None):
        return [fields.required(path, "exactly one of url or service is required")]
    errs: list[FieldError] = []
    if client.url is not None and not client.url.startswith("https://"):
        scheme = client.url.partition(":")[0] if ":" in client.url else ""
        errs.append(
            fields.invalid(
                f"{path}.url", scheme, "'https' is the only allowed URL scheme; desired format: https://host[/path]"
            )
        )
    service = client.service
    if service is not None:
        if not service.name:
            errs.append(fields.required(f"{path}.service.name", "service name is required"))
        if not service.namespace:
            errs.append(fields.required(f"{path}.service.namespace", "service namespace is required"))
        if service.path is not None and not service.path.startswith("/"):
            errs.append(fields.invalid(f"{path}.service.path", service.path, "must start with a '/'"))
        if service.port is not None and not 1 <= service.port <= 65535:
            detail = "port is not valid: must be between 1 and 65535, inclusive"
            errs.append(fields.invalid(f"{path}.service.port", service.port, detail))
    return errs


def _reviews(versions: Sequence[str], path: str) -> list[FieldError]:
    if not versions:
        return [fields.required(path)]
    errs: list[FieldError] = []
    seen: set[str] = set()
    for index, version in enumerate(versions):
        if version in seen:
            errs.append(fields.invalid(f"{path}[{index}]", version, "duplicate version"))
        seen.add(version)
        errs += [fields.invalid(f"{path}[{index}]", version, problem) for problem in names.dns1035_label(version)]
    if not seen & set(REVIEWS):
        errs.append(fields.invalid(path, list(versions), f"must include at least one of {', '.join(REVIEWS)}"))
    return errs
