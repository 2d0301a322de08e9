"""LimitRanger: containers get a Namespace's default requests and limits, and stay within its bounds.

Source: Kubernetes docs, "Limit Ranges"; the LimitRanger plugin, by behaviour.
"""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Self

from tiphys.api import core_v1
from tiphys.apiserver.admission.plugin import Plugin, Tools, forbidden, is_mirror
from tiphys.apiserver.seams import Attributes, Objects
from tiphys.machinery import errors, quantity

Amounts = Mapping[str, str]


class LimitRanger(Plugin):
    name: ClassVar = "LimitRanger"
    resources: ClassVar = ("pods", "persistentvolumeclaims")

    @classmethod
    def made(cls, tools: Tools) -> Self:
        return cls(tools.objects)

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def _items(self, attributes: Attributes) -> Iterator[Any]:
        for found in self._objects.all("", "limitranges", attributes.namespace):
            yield from found.spec.limits or ()

    def admit(self, attributes: Attributes, obj: Any, old: Any) -> None:
        if attributes.operation != "CREATE" or attributes.resource != "pods" or is_mirror(obj):
            return
        for item in self._items(attributes):
            if item.type != "Container":
                continue
            for container in (*obj.spec.containers, *(obj.spec.initContainers or ())):
                fill(container, item)

    def validate(self, attributes: Attributes, obj: Any, old: Any) -> None:
        if attributes.operation == "UPDATE" and (attributes.resource == "pods" or obj.metadata.deletionTimestamp):
            return
        problems: list[str] = []
        for item in self._items(attributes):
            problems += pod_problems(obj, item) if attributes.resource == "pods" else claim_problems(obj, item)
        if problems:
            raise forbidden(attributes, obj, errors.aggregate(problems))


def fill(container: Any, item: Any) -> None:
    """Set what a container leaves open: limits to ``default``, requests to ``defaultRequest``."""
    limits, requests = item.default or {}, item.defaultRequest or {}
    if not limits and not requests:
        return
    resources = container.resources or core_v1.ResourceRequirements()
    # A limit without a request has become its request by defaulting, before this.
    resources.limits = {**limits, **(resources.limits or {})} or None
    resources.requests = {**requests, **(resources.requests or {})} or None
    container.resources = resources


def pod_problems(pod: Any, item: Any) -> list[str]:
    """Where a Pod or its containers leave the bounds of one item."""
    if item.type == "Container":
        found: list[str] = []
        for container in (*pod.spec.containers, *(pod.spec.initContainers or ())):
            resources = container.resources
            found += bound_problems(
                "Container", item, (resources and resources.requests) or {}, (resources and resources.limits) or {}
            )
        return found
    if item.type == "Pod":
        return bound_problems("Pod", item, _pod_sum(pod, "requests"), _pod_sum(pod, "limits"))
    return []


def _pod_sum(pod: Any, kind: str) -> Amounts:
    total: dict[str, str] = {}
    for container in pod.spec.containers:
        for name, amount in (getattr(container.resources, kind, None) or {}).items():
            total[name] = quantity.add(total[name], amount) if name in total else amount
    for container in pod.spec.initContainers or ():
        for name, amount in (getattr(container.resources, kind, None) or {}).items():
            if name not in total or quantity.compare(amount, total[name]) > 0:
                total[name] = amount
    return total


def claim_problems(claim: Any, item: Any) -> list[str]:
    if item.type != "PersistentVolumeClaim":
        return []
    requests = (claim.spec.resources and claim.spec.resources.requests) or {}
    found = [_below(item.type, name, low, requests.get(name), None) for name, low in _sorted(item.min)]
    found += [_above_request(item.type, name, high, requests.get(name)) for name, high in _sorted(item.max)]
    return [text for text in found if text]


def bound_problems(type_: str, item: Any, requests: Amounts, limits: Amounts) -> list[str]:
    """Every violated minimum, maximum and ratio, in Kubernetes' words."""
    found = [_below(type_, name, low, requests.get(name), limits.get(name)) for name, low in _sorted(item.min)]
    found += [_above(type_, name, high, requests.get(name), limits.get(name)) for name, high in _sorted(item.max)]
    found += [
        _ratio(type_, name, ratio, requests.get(name), limits.get(name))
        for name, ratio in _sorted(item.maxLimitRequestRatio)
    ]
    return [text for text in found if text]


def _sorted(amounts: Amounts | None) -> list[tuple[str, str]]:
    return sorted((amounts or {}).items())


def _below(type_: str, name: str, low: str, request: str | None, limit: str | None) -> str:
    if request is None:
        return f"minimum {name} usage per {type_} is {low}.  No request is specified"
    if quantity.compare(request, low) < 0:
        return f"minimum {name} usage per {type_} is {low}, but request is {request}"
    if limit is not None and quantity.compare(limit, low) < 0:
        return f"minimum {name} usage per {type_} is {low}, but limit is {limit}"
    return ""


def _above(type_: str, name: str, high: str, request: str | None, limit: str | None) -> str:
    if limit is None:
        return f"maximum {name} usage per {type_} is {high}.  No limit is specified"
    if quantity.compare(limit, high) > 0:
        return f"maximum {name} usage per {type_} is {high}, but limit is {limit}"
    if request is not None and quantity.compare(request, high) > 0:
        return f"maximum {name} usage per {type_} is {high}, but request is {request}"
    return ""


def _above_request(type_: str, name: str, high: str, request: str | None) -> str:
    if request is None:
        return f"maximum {name} usage per {type_} is {high}.  No request is specified"
    if quantity.compare(request, high) > 0:
        return f"maximum {name} usage per {type_} is {high}, but request is {request}"
    return ""


def _ratio(type_: str, name: str, ratio: str, request: str | None, limit: str | None) -> str:
    subject = f"{name} max limit to request ratio per {type_} is {ratio}"
    if request is None or not quantity.parse(request):
        return f"{subject}, but no request is specified or request is 0"
    if limit is None or not quantity.parse(limit):
        return f"{subject}, but no limit is specified or limit is 0"
    actual = quantity.parse(limit) / quantity.parse(request)
    if actual > quantity.parse(ratio):
        return f"{subject}, but provided ratio is {actual:f}"
    return ""
