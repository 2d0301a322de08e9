"""Checks that the rules of many resources share.

Rules collect into a list, so that valid objects cost no lists; paths are put
together where an error is found. Answers of pure name checks are remembered:
the same few names, labels and keys come again and again.
"""

import ipaddress
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

from tiphys.api import meta_v1
from tiphys.machinery import fields, names, quantity
from tiphys.machinery.fields import FieldError

Errors: TypeAlias = list[FieldError]
Problems: TypeAlias = Callable[[str], tuple[str, ...]]

NOT_NEGATIVE = "must be greater than or equal to 0"
POSITIVE = "must be greater than 0"
IMMUTABLE = "field is immutable"
MAX_INT32 = 2**31 - 1


def _remembered(validator: Callable[[str], list[str]]) -> Problems:
    @lru_cache(maxsize=4096)
    def problems(value: str) -> tuple[str, ...]:
        return tuple(validator(value))

    return problems


dns1123_label = _remembered(names.dns1123_label)
dns1123_subdomain = _remembered(names.dns1123_subdomain)
wildcard = _remembered(names.wildcard_dns1123_subdomain)
dns1035_label = _remembered(names.dns1035_label)
qualified_name = _remembered(names.qualified_name)
label_value = _remembered(names.label_value)
path_segment = _remembered(names.path_segment)
config_map_key = _remembered(names.config_map_key)
env_var_name = _remembered(names.relaxed_env_var_name)
port_name = _remembered(names.port_name)
ip_address = _remembered(names.ip_address)
cidr = _remembered(names.cidr)
percent = _remembered(names.percent)


def form(errs: Errors, path: str, value: str, problems: Problems) -> None:
    """Report each fault of a name."""
    for message in problems(value):
        errs.append(fields.invalid(path, value, message))


def required_form(errs: Errors, path: str, value: str | None, problems: Problems, detail: str = "") -> None:
    """As ``form``, and the name must be given."""
    if not value:
        errs.append(fields.required(path, detail))
    else:
        form(errs, path, value, problems)


def one_of(errs: Errors, path: str, value: str | None, choices: Collection[str]) -> None:
    """``choices`` are reported in the order given."""
    if value not in choices:
        errs.append(fields.not_supported(path, value or "", choices))


def required_one_of(errs: Errors, path: str, value: str | None, choices: Collection[str]) -> None:
    if not value:
        errs.append(fields.required(path))
    else:
        one_of(errs, path, value, choices)


def not_negative(errs: Errors, path: str, value: int | None) -> None:
    if value is not None and value < 0:
        errs.append(fields.invalid(path, value, NOT_NEGATIVE, "minimum"))


def in_range(errs: Errors, path: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        errs.append(fields.invalid(path, value, names.inclusive_range(low, high)))


def port(errs: Errors, path: str, value: int | str | None) -> None:
    """A port by number or by name."""
    if isinstance(value, str):
        form(errs, path, value, port_name)
    else:
        in_range(errs, path, value or 0, 1, 65535)


def immutable(errs: Errors, path: str, new: Any, old: Any) -> None:
    if new != old:
        errs.append(fields.invalid(path, new, IMMUTABLE))


def labels(errs: Errors, path: str, pairs: Mapping[str, str] | None) -> None:
    for key, value in (pairs or {}).items():
        form(errs, path, key, qualified_name)
        form(errs, path, value, label_value)


def label_selector(errs: Errors, path: str, selector: meta_v1.LabelSelector | None) -> None:
    if selector is None:
        return
    if selector.matchLabels:
        labels(errs, f"{path}.matchLabels", selector.matchLabels)
    for index, requirement in enumerate(selector.matchExpressions or ()):
        _selector_requirement(errs, f"{path}.matchExpressions[{index}]", requirement)


def _selector_requirement(errs: Errors, path: str, requirement: meta_v1.LabelSelectorRequirement) -> None:
    operator, values = requirement.operator, requirement.values or ()
    if operator in ("In", "NotIn"):
        if not values:
            errs.append(fields.required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            errs.append(
                fields.forbidden(f"{path}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
            )
    else:
        errs.append(fields.invalid(f"{path}.operator", operator, "not a valid selector operator"))
    form(errs, f"{path}.key", requirement.key, qualified_name)
    for index, value in enumerate(values):
        form(errs, f"{path}.values[{index}]", value, label_value)


def is_empty(selector: meta_v1.LabelSelector | None) -> bool:
    return selector is None or not (selector.matchLabels or selector.matchExpressions)


def quantity_not_negative(errs: Errors, path: str, value: str) -> None:
    if value.startswith("-"):
        errs.append(fields.invalid(path, value, NOT_NEGATIVE, "minimum"))


def quantities(errs: Errors, path: str, amounts: Mapping[str, str] | None) -> None:
    """A resource list of a status: known names, no negative amounts."""
    for name, amount in (amounts or {}).items():
        form(errs, f"{path}[{name}]", name, qualified_name)
        quantity_not_negative(errs, f"{path}[{name}]", amount)


def is_whole(amount: str) -> bool:
    return quantity.milli(amount) % 1000 == 0


def int_or_percent(errs: Errors, path: str, value: int | str | None) -> None:
    """A count that may not be negative, or a percentage."""
    if isinstance(value, str):
        form(errs, path, value, percent)
    else:
        not_negative(errs, path, value)


def percent_of(value: int | str | None) -> int | None:
    """50 for ``50%``; None if it is not a percentage."""
    if isinstance(value, str) and value.endswith("%") and value[:-1].isdigit():
        return int(value[:-1])
    return None


def not_above_100_percent(errs: Errors, path: str, value: int | str | None) -> None:
    share = percent_of(value)
    if share is not None and share > 100:
        errs.append(fields.invalid(path, value, "must not be greater than 100%"))


def duplicates(errs: Errors, paths: Callable[[int], str], values: Sequence[str]) -> None:
    """Report each value that stood before."""
    if len(set(values)) == len(values):
        return
    seen: set[str] = set()
    for index, value in enumerate(values):
        if value in seen:
            errs.append(fields.duplicate(paths(index), value))
        seen.add(value)


def at_most_one(errs: Errors, path: str, present: Iterable[str], detail: str) -> None:
    """Report every field beyond the first of those that are set."""
    for field in list(present)[1:]:
        errs.append(fields.forbidden(f"{path}.{field}", detail))


@lru_cache(maxsize=1024)
def special_address(value: str) -> tuple[str, ...]:
    """Addresses that no endpoint and no external address may have."""
    address = ipaddress.ip_address(value)
    found: list[str] = []
    if address.is_unspecified:
        found.append(f"may not be unspecified ({value})")
    if address.is_loopback:
        found.append("may not be in the loopback range (127.0.0.0/8, ::1/128)")
    if address.is_link_local:
        found.append("may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    if address.is_multicast and value.startswith("224.0.0."):
        found.append("may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")
    return tuple(found)
