"""The request that an access review asks about, and what of it could not be understood.

Source: Kubernetes API reference, SubjectAccessReview, ResourceAttributes; KEP-4601
Authorize with Selectors.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from tiphys.api import meta_v1
from tiphys.apiserver.seams import Attributes
from tiphys.machinery import fields, selectors
from tiphys.wire.exchange import UserInfo

OPERATORS: Final = ("In", "NotIn", "Exists", "DoesNotExist")


class _Selector(NamedTuple):
    """A selector as text; ``partly`` is None if all of it could be read, else whether some of it could."""

    text: str = ""
    partly: bool | None = None


def asked_attributes(user: UserInfo, spec: Any) -> tuple[Attributes, list[str]]:
    """The request, and sentences about selectors that are ignored."""
    path = spec.nonResourceAttributes
    if path is not None:
        return Attributes((path.verb or "").lower(), path.path or "", user), []
    asked = spec.resourceAttributes
    by_field, by_label = _by_field(asked.fieldSelector), _by_label(asked.labelSelector)
    found = Attributes(
        asked.verb or "",
        "",
        user,
        is_resource_request=True,
        group=asked.group or "",
        version=asked.version or "",
        resource=asked.resource or "",
        subresource=asked.subresource or "",
        namespace=asked.namespace or "",
        name=asked.name or "",
        field_selector=by_field.text,
        label_selector=by_label.text,
    )
    return found, [*_ignored("fieldSelector", by_field), *_ignored("labelSelector", by_label)]


def _ignored(field: str, selector: _Selector) -> Iterator[str]:
    if selector.partly is not None:
        yield f"spec.resourceAttributes.{field} {'partially ' * selector.partly}ignored due to parse error"


def _by_field(selector: Any) -> _Selector:
    if selector is None:
        return _Selector()
    if selector.rawSelector:
        return _raw(selector.rawSelector, selectors.parse_fields)
    requirements: Sequence[meta_v1.FieldSelectorRequirement] = selector.requirements or ()
    signs = {"In": "=", "NotIn": "!="}
    # Field selectors know equality alone; what else is asked cannot limit the request.
    known = [one for one in requirements if one.operator in signs and len(one.values or ()) == 1]
    text = ",".join(f"{one.key}{signs[one.operator]}{selectors.escaped((one.values or [''])[0])}" for one in known)
    return _Selector(text, None if len(known) == len(requirements) else bool(known))


def _by_label(selector: Any) -> _Selector:
    if selector is None:
        return _Selector()
    if selector.rawSelector:
        return _raw(selector.rawSelector, selectors.parse_labels)
    known: list[str] = []
    requirements: Sequence[meta_v1.LabelSelectorRequirement] = selector.requirements or ()
    for one in requirements:
        try:
            label_selector = meta_v1.LabelSelector(matchExpressions=[one])
            known.append(str(selectors.from_label_selector(label_selector)))
        except selectors.SelectorError:
            continue
    return _Selector(",".join(known), None if len(known) == len(requirements) else bool(known))


def _raw(text: str, parse: Any) -> _Selector:
    try:
        parse(text)
    except selectors.SelectorError:
        return _Selector(partly=False)
    return _Selector(text)


def selector_problems(spec: Any) -> Iterator[fields.FieldError]:
    """What is wrong with the form of a review's selectors."""
    asked = spec.resourceAttributes
    if asked is None:
        return
    for name in ("fieldSelector", "labelSelector"):
        selector = getattr(asked, name)
        if selector is not None:
            yield from _form_problems(selector, name)


def _form_problems(selector: Any, name: str) -> Iterator[fields.FieldError]:
    path = f"spec.resourceAttributes.{name}"
    if selector.rawSelector and selector.requirements:
        why = "may not specified at the same time as requirements"
        yield fields.invalid(f"{path}.rawSelector", selector.rawSelector, why)
    elif not selector.rawSelector and not selector.requirements:
        why = f"when {path} is specified, requirements or rawSelector is required"
        yield fields.required(f"{path}.requirements", why)
    for number, one in enumerate(selector.requirements or ()):
        where = f"{path}.requirements[{number}]"
        if not one.key:
            yield fields.required(f"{where}.key", "must be specified")
        if one.operator in ("In", "NotIn") and not one.values:
            yield fields.required(f"{where}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        elif one.operator in ("Exists", "DoesNotExist") and one.values:
            why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            yield fields.forbidden(f"{where}.values", why)
