"""Checks that the kinds of resource.k8s.io share.

Source: KEP-4381 Dynamic Resource Allocation with structured parameters; messages by behaviour.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeVar

from tiphys.api import resource_v1
from tiphys.machinery import codec, fields, names
from tiphys.resources import checks
from tiphys.resources.checks import Errors

Item = TypeVar("Item")

NAME_MAX = 63
IDENTIFIER_MAX = 32
POOL_NAME_MAX = 253
OPAQUE_BYTES_MAX = 10 * 1024
CONDITIONS_MAX = 4
EFFECTS = ("NoExecute", "NoSchedule", "None")


def each(
    errs: Errors,
    path: str,
    items: Sequence[Item] | None,
    maximum: int,
    judge: Callable[[Errors, str, Item], None],
    key: Callable[[Item], Hashable] | None = None,
) -> None:
    """Judge each item; with ``key`` no two may have the same. ``maximum`` below 0: any number."""
    found = items or ()
    if 0 <= maximum < len(found):
        errs.append(fields.too_many(path, len(found), maximum))
    seen: set[Hashable] = set()
    for index, item in enumerate(found):
        here = f"{path}[{index}]"
        judge(errs, here, item)
        if key is None:
            continue
        value = key(item)
        if value in seen:
            errs.append(fields.duplicate(here, value))
        seen.add(value)


def entries(
    errs: Errors,
    path: str,
    items: Mapping[str, Item] | None,
    maximum: int,
    judge_key: Callable[[Errors, str, str], None],
    judge: Callable[[Errors, str, Item], None],
) -> None:
    """Judge a map's keys and values. ``maximum`` below 0: any number."""
    found = items or {}
    if 0 <= maximum < len(found):
        errs.append(fields.too_many(path, len(found), maximum))
    for name, item in found.items():
        here = f"{path}[{name}]"
        judge_key(errs, here, name)
        judge(errs, here, item)


def label(errs: Errors, path: str, value: str) -> None:
    """A name that is a DNS label: of requests, devices, counters."""
    checks.form(errs, path, value, checks.dns1123_label)


def required_label(errs: Errors, path: str, value: str) -> None:
    checks.required_form(errs, path, value, checks.dns1123_label)


def class_name(errs: Errors, path: str, value: str) -> None:
    checks.required_form(errs, path, value, checks.dns1123_subdomain)


def driver(errs: Errors, path: str, value: str) -> None:
    if not value:
        errs.append(fields.required(path))
        return
    if len(value) > NAME_MAX:
        errs.append(fields.too_long(path, "", NAME_MAX))
    for message in checks.dns1123_subdomain(value.lower()):
        errs.append(fields.invalid(path, value, message))


def pool(errs: Errors, path: str, value: str) -> None:
    if not value:
        errs.append(fields.required(path))
        return
    if len(value) > POOL_NAME_MAX:
        errs.append(fields.too_long(path, "", POOL_NAME_MAX))
    for part in value.split("/"):
        checks.form(errs, path, part, checks.dns1123_subdomain)


def qualified(errs: Errors, path: str, value: str) -> None:
    """``name`` or ``domain/name`` of an attribute or a capacity."""
    if not value:
        errs.append(fields.required(path, "name required"))
        return
    domain, slash, name = value.rpartition("/")
    if slash:
        if not domain:
            errs.append(fields.required(path, "the domain must not be empty"))
        else:
            driver(errs, path, domain)
        if not name:
            errs.append(fields.required(path, "the name must not be empty"))
    if name:
        _identifier(errs, path, name)


def fully_qualified(errs: Errors, path: str, value: str) -> None:
    qualified(errs, path, value)
    if value and "/" not in value:
        errs.append(fields.invalid(path, value, "must include a domain"))


def _identifier(errs: Errors, path: str, value: str) -> None:
    if len(value) > IDENTIFIER_MAX:
        errs.append(fields.too_long(path, "", IDENTIFIER_MAX))
    for message in names.c_identifier(value):
        errs.append(fields.invalid(path, value, message))


def raw_object(errs: Errors, path: str, value: Any, maximum: int) -> None:
    """Parameters that only their driver understands: a JSON object of bounded size."""
    if value is None:
        errs.append(fields.required(path))
        return
    if len(codec.encode(value)) > maximum:
        errs.append(fields.too_long(path, "", maximum))
    elif not isinstance(value, dict):
        errs.append(
            fields.invalid(path, "<value omitted>", "error parsing data as JSON: parameters must be a JSON object")
        )


def configuration(errs: Errors, path: str, opaque: resource_v1.OpaqueDeviceConfiguration | None) -> None:
    if opaque is None:
        errs.append(fields.required(f"{path}.opaque"))
        return
    driver(errs, f"{path}.opaque.driver", opaque.driver)
    raw_object(errs, f"{path}.opaque.parameters", opaque.parameters, OPAQUE_BYTES_MAX)


def toleration(errs: Errors, path: str, given: resource_v1.DeviceToleration) -> None:
    operator, value = given.operator or "", given.value or ""
    if given.key:
        checks.form(errs, f"{path}.key", given.key, checks.qualified_name)
    elif operator != "Exists":
        detail = 'must be "Exists" when `key` is empty, which means match all taint keys and values'
        errs.append(fields.invalid(f"{path}.operator", operator, detail))
    if operator == "Exists":
        if value:
            errs.append(fields.invalid(f"{path}.value", value, "must be empty for operator `Exists`"))
    elif operator == "Equal":
        checks.form(errs, f"{path}.value", value, checks.label_value)
    else:
        checks.required_one_of(errs, f"{path}.operator", operator, ("Equal", "Exists"))
    if given.effect:
        checks.one_of(errs, f"{path}.effect", given.effect, EFFECTS)


def taint(errs: Errors, path: str, given: resource_v1.DeviceTaint) -> None:
    checks.form(errs, f"{path}.key", given.key, checks.qualified_name)
    if given.value:
        checks.form(errs, f"{path}.value", given.value, checks.label_value)
    checks.required_one_of(errs, f"{path}.effect", given.effect, EFFECTS)


def conditions(errs: Errors, path: str, needed: Sequence[str] | None, failing: Sequence[str] | None) -> None:
    """Names of conditions that binding waits for, or fails on."""
    for field, given in (("bindingConditions", needed), ("bindingFailureConditions", failing)):
        each(errs, f"{path}.{field}", given, CONDITIONS_MAX, _condition, lambda name: name)
    for index, name in enumerate(failing or ()):
        if name in (needed or ()):
            errs.append(
                fields.invalid(f"{path}.bindingFailureConditions[{index}]", name, "must not be in bindingConditions")
            )
    if not needed and failing:
        detail = "bindingConditions are required to use bindingFailureConditions"
        errs.append(fields.invalid(f"{path}.bindingConditions", list(needed or ()), detail))
    if needed and not failing:
        detail = "bindingFailureConditions are required to use bindingConditions"
        errs.append(fields.invalid(f"{path}.bindingFailureConditions", list(failing or ()), detail))


def _condition(errs: Errors, path: str, name: str) -> None:
    checks.form(errs, path, name, checks.qualified_name)
