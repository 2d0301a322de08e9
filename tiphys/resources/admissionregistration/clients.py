"""Where a webhook is: by URL or by Service. Also for the conversion webhooks of custom resources.

Source: apiserver, package util/webhook, by behaviour and messages.
"""

from typing import Any, Final
from urllib.parse import urlsplit

from tiphys.machinery import fields
from tiphys.resources import checks
from tiphys.resources.checks import Errors

FORM: Final = "; desired format: https://host[/path]"


def client_config(errs: Errors, path: str, config: Any) -> None:
    """A ``WebhookClientConfig``."""
    if (config.url is None) == (config.service is None):
        errs.append(fields.required(path, "exactly one of url or service is required"))
    elif config.url is not None:
        url(errs, f"{path}.url", config.url)
    else:
        service(errs, f"{path}.service", config.service)


def url(errs: Errors, path: str, value: str) -> None:
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError as problem:
        errs.append(fields.required(path, f"url must be a valid URL: {problem}{FORM}"))
        return
    if parts.scheme != "https":
        errs.append(fields.invalid(path, parts.scheme, f"'https' is the only allowed URL scheme{FORM}"))
    user, _, host = parts.netloc.rpartition("@")
    if not host:
        errs.append(fields.invalid(path, host, f"host must be specified{FORM}"))
    if user:
        errs.append(fields.invalid(path, user, "user information is not permitted in the URL"))
    if parts.fragment:
        errs.append(fields.invalid(path, parts.fragment, "fragments are not permitted in the URL"))
    if parts.query:
        errs.append(fields.invalid(path, parts.query, "query parameters are not permitted in the URL"))


def service(errs: Errors, path: str, reference: Any) -> None:
    if not reference.name:
        errs.append(fields.required(f"{path}.name", "service name is required"))
    if not reference.namespace:
        errs.append(fields.required(f"{path}.namespace", "service namespace is required"))
    port = reference.port or 0
    if not 1 <= port <= 65535:
        errs.append(fields.invalid(f"{path}.port", port, "port is not valid: must be between 1 and 65535, inclusive"))
    _path(errs, f"{path}.path", reference.path)


def _path(errs: Errors, path: str, value: str | None) -> None:
    if value in (None, "", "/"):
        return
    if value == "//":
        errs.append(fields.invalid(path, value, "segment[0] may not be empty"))
        return
    assert value is not None
    if not value.startswith("/"):
        errs.append(fields.invalid(path, value, "must start with a '/'"))
    for index, step in enumerate(value[1:].removesuffix("/").split("/")):
        if not step:
            errs.append(fields.invalid(path, value, f"segment[{index}] may not be empty"))
            continue
        for failure in checks.dns1123_subdomain(step):
            errs.append(fields.invalid(path, value, f"segment[{index}]: {failure}"))
