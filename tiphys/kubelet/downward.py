"""What a Pod may know of itself: fields and resources, for variables and for files.

Source: Kubernetes docs, "Downward API".
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tiphys.api import core_v1
from tiphys.kubelet import restart
from tiphys.machinery import quantity
from tiphys.machinery.goformat import quote

_SUBSCRIPT = re.compile(r"(metadata\.(?:labels|annotations))\['(.+)'\]", re.DOTALL)


class FieldUnknown(ValueError):
    """There is no such field for this purpose."""


@dataclass(frozen=True, slots=True)
class Itself:
    """What the Pod is given to know besides its object."""

    pod: core_v1.Pod
    pod_ips: Sequence[str] = ()
    host_ips: Sequence[str] = ()
    #: Allocatable of the node, for limits that are not set.
    allocatable: Mapping[str, str] | None = None


def field_text(itself: Itself, path: str) -> str:
    """The text of a field reference. Raises FieldUnknown."""
    meta, spec = itself.pod.metadata, itself.pod.spec
    match path:
        case "metadata.name":
            return meta.name
        case "metadata.namespace":
            return meta.namespace
        case "metadata.uid":
            return meta.uid
        case "metadata.labels":
            return _map_text(meta.labels)
        case "metadata.annotations":
            return _map_text(meta.annotations)
        case "spec.nodeName":
            return spec.nodeName or ""
        case "spec.serviceAccountName":
            return spec.serviceAccountName or ""
        case "status.hostIP":
            return next(iter(itself.host_ips), "")
        case "status.hostIPs":
            return ",".join(itself.host_ips)
        case "status.podIP":
            return next(iter(itself.pod_ips), "")
        case "status.podIPs":
            return ",".join(itself.pod_ips)
    found = _SUBSCRIPT.fullmatch(path)
    if found is None:
        raise FieldUnknown(f"unsupported fieldPath: {path}")
    values = meta.labels if found[1] == "metadata.labels" else meta.annotations
    return values.get(found[2], "")


def _map_text(values: Mapping[str, str]) -> str:
    return "\n".join(f"{key}={quote(value)}" for key, value in sorted(values.items()))


def resource_text(itself: Itself, reference: core_v1.ResourceFieldSelector, container_name: str) -> str:
    """The number of a resource reference, divided and rounded up. Raises FieldUnknown."""
    name = reference.containerName or container_name
    container = restart.find_container(itself.pod, name)
    if container is None:
        raise FieldUnknown(f"container {name} not found")
    which, _, resource = reference.resource.partition(".")
    if which not in ("limits", "requests") or not resource:
        raise FieldUnknown(f"unsupported container resource : {reference.resource}")
    limits, requests = container.resources.limits or {}, container.resources.requests or {}
    amount: str | None
    if which == "limits":
        amount = limits.get(resource) or (itself.allocatable or {}).get(resource)
    else:
        amount = requests.get(resource)
    divisor = reference.divisor if reference.divisor and quantity.parse(reference.divisor) else "1"
    number = quantity.parse(amount or "0") / quantity.parse(divisor)
    # Decimal's own // cuts towards zero.
    return str(math.ceil(number))
