"""Selectors of devices: expressions over ``device``.

Source: Kubernetes docs, "Dynamic Resource Allocation", "CEL"; API reference, CELDeviceSelector.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from tiphys.api import resource_v1
from tiphys.scheduler.devices.inventory import Candidate

#: What one expression may cost for one device.
COST_MAX: Final = 1_000_000
_QUOTED: Final = re.compile(r"""["']([^"']*)["']""")


class SelectorError(Exception):
    """An expression that does not compile, or that fails for a device: nothing can be allocated by it."""


def matches(expression: str, candidate: Candidate) -> bool:
    """Whether the device is selected. Raises SelectorError."""
    # Nobody has a device, nobody needs the language.
    from tiphys.machinery.cel import CostExceeded, EvaluationError  # noqa: PLC0415

    program = _compiled(expression)
    if isinstance(program, str):
        raise SelectorError(program)
    try:
        value = program.evaluate({"device": _shown(candidate, _names_in(expression))}, limit=COST_MAX)
    except (EvaluationError, CostExceeded) as error:
        raise SelectorError(f"CEL runtime error: {error}") from error
    return bool(value)


@lru_cache(maxsize=1024)
def _compiled(expression: str) -> Any:
    """A program, or what is wrong with the expression."""
    from tiphys.machinery import cel  # noqa: PLC0415

    values = cel.map_of(cel.STRING, cel.map_of(cel.STRING, cel.DYN))
    device = {
        "driver": cel.STRING,
        "attributes": values,
        "capacity": cel.map_of(cel.STRING, cel.map_of(cel.STRING, cel.opaque("kubernetes.Quantity"))),
        "allowMultipleAllocations": cel.BOOL,
    }
    environment = cel.environment({"device": cel.object_of("kubernetes.DRADevice", device)})
    try:
        return environment.compile(expression, returns=(cel.BOOL,))
    except cel.CompileError as error:
        return f"CEL compile error: {error}"


@lru_cache(maxsize=1024)
def _names_in(expression: str) -> tuple[str, ...]:
    """Domains that the expression may ask for: whatever stands in quotes."""
    return tuple(dict.fromkeys(_QUOTED.findall(expression)))


def _shown(candidate: Candidate, names: tuple[str, ...]) -> dict[str, Any]:
    from tiphys.machinery.cel.library.quantities import quantity_value  # noqa: PLC0415

    device, driver = candidate.device, candidate.id[0]
    attributes = {name: attribute_value(found) for name, found in (device.attributes or {}).items()}
    capacity = {name: quantity_value(found.value or "0") for name, found in (device.capacity or {}).items()}
    return {
        "driver": driver,
        "attributes": _by_domain(attributes, driver, names),
        "capacity": _by_domain(capacity, driver, names),
        "allowMultipleAllocations": bool(device.allowMultipleAllocations),
    }


def _by_domain(values: Mapping[str, Any], driver: str, names: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """A name without a domain is in the driver's. A domain that is asked for and not there is empty."""
    found: dict[str, dict[str, Any]] = {name: {} for name in names}
    for name, value in values.items():
        domain, _, own = name.rpartition("/")
        found.setdefault(domain or driver, {})[own] = value
    return found


def attribute_value(attribute: resource_v1.DeviceAttribute) -> Any:
    """As expressions see it."""
    from tiphys.machinery.cel.library.quantities import semver_value  # noqa: PLC0415

    if attribute.version is not None:
        return semver_value(attribute.version)
    if attribute.versions is not None:
        return [semver_value(text) for text in attribute.versions]
    return plain_value(attribute)


def plain_value(attribute: resource_v1.DeviceAttribute) -> Any:
    """Whatever is set, for comparing."""
    names = ("bool_", "int_", "string", "version", "bools", "ints", "strings", "versions")
    return next((getattr(attribute, name) for name in names if getattr(attribute, name) is not None), None)


def find_attribute(candidate: Candidate, name: str) -> resource_v1.DeviceAttribute | None:
    """The attribute of a qualified name; the driver's own may be told without their domain."""
    attributes = candidate.device.attributes or {}
    domain, _, own = name.rpartition("/")
    found = attributes.get(name)
    return found if found is not None or domain != candidate.id[0] else attributes.get(own)
