"""One device of a ResourceSlice: attributes, capacities, counters, where it can be used."""

import re
from collections.abc import Sequence
from typing import Final

from tiphys.api import resource_v1
from tiphys.machinery import fields, quantity
from tiphys.resources import checks
from tiphys.resources.checks import Errors
from tiphys.resources.core.pod.scheduling import validate_node_selector
from tiphys.resources.resource import shared

ATTRIBUTES_MAX: Final = 32
VALUES_MAX: Final = 48
VALUE_MAX: Final = 64
TAINTS_MAX: Final = 16
CONSUMPTIONS_MAX: Final = 2
COUNTERS_MAX: Final = 32
OPTIONS_MAX: Final = 10
LISTS: Final = ("bools", "ints", "strings", "versions")
PLACES: Final = (
    "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true "
    "in the ResourceSlice spec"
)
NOT_HERE: Final = (
    "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the "
    "ResourceSlice spec"
)
_NUMBER = r"(0|[1-9]\d*)"
_PRE = r"(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)"
SEMVER: Final = re.compile(rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(-{_PRE}(\.{_PRE})*)?(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?")


def is_large(device: resource_v1.Device) -> bool:
    """It uses what makes devices so large that a slice may hold fewer of them."""
    attributes = (device.attributes or {}).values()
    lists = any(getattr(attribute, name) is not None for attribute in attributes for name in LISTS)
    return bool(device.taints or device.consumesCounters) or lists


def validate(errs: Errors, path: str, device: resource_v1.Device, *, selects: bool) -> None:
    """``selects``: devices of this slice say themselves where they are."""
    shared.label(errs, f"{path}.name", device.name)
    total = len(device.attributes or ()) + len(device.capacity or ())
    if total > ATTRIBUTES_MAX:
        detail = f"the total number of attributes and capacities must not exceed {ATTRIBUTES_MAX}"
        errs.append(fields.invalid(path, total, detail))
    values = sum(_size(attribute) for attribute in (device.attributes or {}).values())
    if values > VALUES_MAX:
        errs.append(fields.invalid(path, values, f"the total number of attribute values must not exceed {VALUES_MAX}"))
    shared.entries(errs, f"{path}.attributes", device.attributes, -1, shared.qualified, _attribute)

    def capacity(errs: Errors, here: str, given: resource_v1.DeviceCapacity) -> None:
        if given.requestPolicy is None:
            return
        if device.allowMultipleAllocations:
            _policy(errs, f"{here}.requestPolicy", given.value or "0", given.requestPolicy)
        else:
            errs.append(fields.forbidden(f"{here}.requestPolicy", "allowMultipleAllocations must be true"))

    shared.entries(errs, f"{path}.capacity", device.capacity, -1, shared.qualified, capacity)
    shared.each(errs, f"{path}.taints", device.taints, TAINTS_MAX, shared.taint)
    here = f"{path}.consumesCounters"
    shared.each(errs, here, device.consumesCounters, CONSUMPTIONS_MAX, _consumption, lambda one: one.counterSet)
    _place(errs, path, device, selects=selects)
    shared.conditions(errs, path, device.bindingConditions, device.bindingFailureConditions)


def _size(attribute: resource_v1.DeviceAttribute) -> int:
    return sum(len(getattr(attribute, name) or ()) for name in LISTS) or 1


def _attribute(errs: Errors, path: str, attribute: resource_v1.DeviceAttribute) -> None:
    given = [name for name in ("bool_", "int_", "string", "version", *LISTS) if getattr(attribute, name) is not None]
    for name in given:
        value = getattr(attribute, name)
        if name in LISTS and not value:
            errs.append(fields.invalid(f"{path}.{name}", value, "must not be empty if specified"))
        here = [f"{path}.{name}[{index}]" for index in range(len(value))] if name in LISTS else [f"{path}.{name}"]
        for where, text in zip(here, value if name in LISTS else [value], strict=True):
            if name in ("version", "versions") and not SEMVER.fullmatch(text):
                detail = "must be a string compatible with semver.org spec 2.0.0"
                errs.append(fields.invalid(where, text, detail))
            if isinstance(text, str) and len(text.encode()) > VALUE_MAX:
                errs.append(fields.too_long(where, "", VALUE_MAX))
    if len(given) != 1:
        errs.append(fields.invalid(path, attribute if given else "", "exactly one value must be specified"))


def _policy(errs: Errors, path: str, most: str, policy: resource_v1.CapacityRequestPolicy) -> None:
    if policy.validValues and policy.validRange is not None:
        detail = 'exactly one policy can be specified, cannot specify "validValues" and "validRange" at the same time'
        errs.append(fields.forbidden(path, detail))
        return
    if policy.validValues:
        if policy.default is None:
            errs.append(fields.required(f"{path}.default", "required when validValues is defined"))
        else:
            _options(errs, f"{path}.validValues", most, policy.default, policy.validValues)
    elif policy.validRange is not None and policy.default is None:
        errs.append(fields.required(f"{path}.default", "required when validRange is defined"))


def _options(errs: Errors, path: str, most: str, chosen: str, options: Sequence[str]) -> None:
    for index in range(1, len(options)):
        if quantity.compare(options[index - 1], options[index]) > 0:
            detail = "values must be sorted in ascending order"
            errs.append(fields.invalid(f"{path}[{index}]", options[index], detail))

    def option(errs: Errors, here: str, value: str) -> None:
        if quantity.compare(value, most) > 0:
            errs.append(fields.invalid(here, value, f"option is larger than capacity value: {most}"))

    shared.each(errs, path, options, OPTIONS_MAX, option, quantity.parse)
    if all(quantity.compare(value, chosen) for value in options):
        detail = "default value is not valid according to the requestPolicy"
        errs.append(fields.invalid(path, chosen, detail))


def _counter(errs: Errors, path: str, counter: resource_v1.Counter) -> None:
    """Any amount will do."""


def counter_set(errs: Errors, path: str, given: resource_v1.CounterSet) -> None:
    shared.required_label(errs, f"{path}.name", given.name)
    _counters(errs, f"{path}.counters", given.counters)


def _consumption(errs: Errors, path: str, given: resource_v1.DeviceCounterConsumption) -> None:
    shared.required_label(errs, f"{path}.counterSet", given.counterSet)
    _counters(errs, f"{path}.counters", given.counters)


def _counters(errs: Errors, path: str, given: dict[str, resource_v1.Counter]) -> None:
    if not given:
        errs.append(fields.required(path))
    shared.entries(errs, path, given, COUNTERS_MAX, shared.label, _counter)


def _place(errs: Errors, path: str, device: resource_v1.Device, *, selects: bool) -> None:
    given = [name for name in ("nodeName", "nodeSelector", "allNodes") if getattr(device, name) is not None]
    if not selects:
        if given:
            errs.append(fields.invalid(path, None, NOT_HERE))
        return
    if device.nodeName == "":
        errs.append(fields.invalid(f"{path}.nodeName", "", "must not be empty"))
    elif device.nodeName is not None:
        checks.form(errs, f"{path}.nodeName", device.nodeName, checks.dns1123_subdomain)
    if device.nodeSelector is not None:
        validate_node_selector(errs, f"{path}.nodeSelector", device.nodeSelector)
    if device.allNodes is False:
        errs.append(fields.invalid(f"{path}.allNodes", False, "must be either unset or set to true"))
    chosen = [f"`{name}`" for name in given if getattr(device, name)]
    if not chosen:
        errs.append(fields.required(path, PLACES))
    elif len(chosen) > 1:
        errs.append(fields.invalid(path, f"{{{', '.join(chosen)}}}", PLACES))
