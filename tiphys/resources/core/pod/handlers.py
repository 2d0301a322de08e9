"""Validation of probes and lifecycle handlers."""

from tiphys.api import core_v1
from tiphys.machinery import fields, names
from tiphys.resources import checks
from tiphys.resources.checks import Errors

SCHEMES = ("HTTP", "HTTPS")
ONE_HANDLER = "may not specify more than 1 handler type"


def validate_probe(errs: Errors, path: str, probe: core_v1.Probe, *, once: bool) -> None:
    """``once``: liveness and startup probes, which must succeed just once and may have a grace period."""
    _handler(errs, path, probe, ("exec", "httpGet", "tcpSocket", "grpc"), None)
    for field in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"):
        value = getattr(probe, field)
        if value is not None and value < 0:
            checks.not_negative(errs, f"{path}.{field}", value)
    grace = probe.terminationGracePeriodSeconds
    if grace is not None and grace <= 0:
        errs.append(fields.invalid(f"{path}.terminationGracePeriodSeconds", grace, checks.POSITIVE))
    if once and probe.successThreshold != 1:
        errs.append(fields.invalid(f"{path}.successThreshold", probe.successThreshold or 0, "must be 1"))
    if not once and grace is not None:
        detail = "must not be set for readinessProbes"
        errs.append(fields.invalid(f"{path}.terminationGracePeriodSeconds", grace, detail))


def validate_lifecycle(errs: Errors, path: str, lifecycle: core_v1.Lifecycle, grace: int | None) -> None:
    if lifecycle.postStart is not None:
        _handler(errs, f"{path}.postStart", lifecycle.postStart, ("exec", "httpGet", "tcpSocket", "sleep"), grace)
    if lifecycle.preStop is not None:
        _handler(errs, f"{path}.preStop", lifecycle.preStop, ("exec", "httpGet", "tcpSocket", "sleep"), grace)


def _handler(
    errs: Errors,
    path: str,
    handler: core_v1.Probe | core_v1.LifecycleHandler,
    kinds: tuple[str, ...],
    grace: int | None,
) -> None:
    present = [kind for kind in kinds if getattr(handler, kind) is not None]
    if not present:
        errs.append(fields.required(path, "must specify a handler type"))
        return
    first = present[0]
    _action(errs, f"{path}.{first}", getattr(handler, first), grace)
    checks.at_most_one(errs, path, present, ONE_HANDLER)


def _action(errs: Errors, path: str, action: object, grace: int | None) -> None:
    match action:
        case core_v1.HTTPGetAction():
            _http_get(errs, path, action)
        case core_v1.ExecAction():
            if not action.command:
                errs.append(fields.required(f"{path}.command"))
        case core_v1.TCPSocketAction() | core_v1.GRPCAction():
            checks.port(errs, f"{path}.port", action.port)
        case core_v1.SleepAction():
            if grace is not None and not 0 <= action.seconds <= grace:
                detail = f"must be non-negative and less than terminationGracePeriodSeconds ({grace})"
                errs.append(fields.invalid(path, action.seconds, detail))


def _http_get(errs: Errors, path: str, action: core_v1.HTTPGetAction) -> None:
    if not action.path:
        errs.append(fields.required(f"{path}.path"))
    checks.port(errs, f"{path}.port", action.port)
    if action.scheme not in SCHEMES:
        checks.one_of(errs, f"{path}.scheme", action.scheme, SCHEMES)
    for header in action.httpHeaders or ():
        for message in names.http_header_name(header.name):
            errs.append(fields.invalid(f"{path}.httpHeaders", header.name, message))
