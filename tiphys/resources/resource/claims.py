"""What a claim asks for: the part that ResourceClaim and ResourceClaimTemplate share."""

from collections.abc import Mapping

from tiphys.api import resource_v1
from tiphys.machinery import fields
from tiphys.resources import checks
from tiphys.resources.checks import Errors
from tiphys.resources.resource import shared

REQUESTS_MAX = 32
FIRST_AVAILABLE_MAX = 8
EXPRESSION_BYTES_MAX = 10 * 1024
MODES = ("All", "ExactCount")
ONE_OF_TWO = "exactly one of `exactly` or `firstAvailable` is required"
NAMES_A_REQUEST = (
    "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"
)
#: The names that may be referred to: of requests, and below each those of its subrequests.
Names = Mapping[str, set[str]]


def default(devices: resource_v1.DeviceClaim | None) -> None:
    for request in (devices.requests if devices else None) or ():
        for one in (request.exactly, *(request.firstAvailable or ())):
            if one is None:
                continue
            one.allocationMode = one.allocationMode or "ExactCount"
            if one.allocationMode == "ExactCount" and not one.count:
                one.count = 1
            for given in one.tolerations or ():
                given.operator = given.operator or "Equal"


def names_of(devices: resource_v1.DeviceClaim | None) -> Names:
    return {
        request.name: {sub.name for sub in request.firstAvailable or ()}
        for request in (devices.requests if devices else None) or ()
    }


def validate(errs: Errors, path: str, devices: resource_v1.DeviceClaim | None) -> None:
    if devices is None:
        return
    known = names_of(devices)
    shared.each(errs, f"{path}.requests", devices.requests, REQUESTS_MAX, _request, lambda one: one.name)

    def constraint(errs: Errors, here: str, given: resource_v1.DeviceConstraint) -> None:
        references(errs, f"{here}.requests", given.requests, known)
        if given.matchAttribute is not None:
            shared.fully_qualified(errs, f"{here}.matchAttribute", given.matchAttribute)
        elif given.distinctAttribute is not None:
            shared.fully_qualified(errs, f"{here}.distinctAttribute", given.distinctAttribute)
        else:
            detail = 'exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields are set'
            errs.append(fields.required(here, detail))

    def configuration(errs: Errors, here: str, given: resource_v1.DeviceClaimConfiguration) -> None:
        references(errs, f"{here}.requests", given.requests, known)
        shared.configuration(errs, here, given.opaque)

    shared.each(errs, f"{path}.constraints", devices.constraints, REQUESTS_MAX, constraint)
    shared.each(errs, f"{path}.config", devices.config, REQUESTS_MAX, configuration)


def references(errs: Errors, path: str, given: list[str] | None, known: Names) -> None:
    """A list of names of requests, each once."""

    def one(errs: Errors, here: str, name: str) -> None:
        reference(errs, here, name, known)

    shared.each(errs, path, given, REQUESTS_MAX, one, lambda name: name)


def reference(errs: Errors, path: str, name: str, known: Names) -> None:
    """The name of a request, or of one of its subrequests."""
    parts = name.split("/")
    if len(parts) <= 2:
        for part in parts:
            shared.label(errs, path, part)
        if parts[0] in known and (len(parts) == 1 or parts[1] in known[parts[0]]):
            return
    errs.append(fields.invalid(path, name, NAMES_A_REQUEST))


def _request(errs: Errors, path: str, request: resource_v1.DeviceRequest) -> None:
    shared.label(errs, f"{path}.name", request.name)
    if request.firstAvailable and request.exactly is not None:
        errs.append(fields.invalid(path, None, f"{ONE_OF_TWO}, but multiple fields are set"))
    elif request.firstAvailable:
        here = f"{path}.firstAvailable"
        shared.each(errs, here, request.firstAvailable, FIRST_AVAILABLE_MAX, _subrequest, lambda one: one.name)
    elif request.exactly is not None:
        _devices(errs, f"{path}.exactly", request.exactly)
    else:
        errs.append(fields.required(path, ONE_OF_TWO))


def _subrequest(errs: Errors, path: str, request: resource_v1.DeviceSubRequest) -> None:
    shared.label(errs, f"{path}.name", request.name)
    _devices(errs, path, request)


def _devices(errs: Errors, path: str, request: resource_v1.ExactDeviceRequest | resource_v1.DeviceSubRequest) -> None:
    shared.class_name(errs, f"{path}.deviceClassName", request.deviceClassName)
    shared.each(errs, f"{path}.selectors", request.selectors, REQUESTS_MAX, selector)
    mode, count = request.allocationMode, request.count or 0
    if mode == "All":
        if count:
            detail = "must not be specified when allocationMode is 'All'"
            errs.append(fields.invalid(f"{path}.count", count, detail))
    elif mode == "ExactCount":
        if count <= 0:
            errs.append(fields.invalid(f"{path}.count", count, "must be greater than zero"))
    else:
        checks.one_of(errs, f"{path}.allocationMode", mode, MODES)
    for index, given in enumerate(request.tolerations or ()):
        shared.toleration(errs, f"{path}.tolerations[{index}]", given)


def selector(errs: Errors, path: str, given: resource_v1.DeviceSelector) -> None:
    """Expressions are bounded here; they are compiled by whoever evaluates them."""
    here = f"{path}.cel"
    if given.cel is None:
        errs.append(fields.required(here))
    elif not given.cel.expression:
        errs.append(fields.required(f"{here}.expression"))
    elif len(given.cel.expression.encode()) > EXPRESSION_BYTES_MAX:
        errs.append(fields.too_long(f"{here}.expression", "", EXPRESSION_BYTES_MAX))
