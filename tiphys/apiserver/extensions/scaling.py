"""The ``scale`` subresource of a custom resource: where its replicas and its selector stand."""

from typing import Any

from tiphys.api import apiextensions_v1, autoscaling_v1, meta_v1
from tiphys.machinery import fields
from tiphys.machinery.custom import CustomObject
from tiphys.machinery.fields import FieldError

#: Replicas are Kubernetes' int32.
_MOST = 2**31 - 1


class CustomScaling:
    """Reads and writes the Scale of custom objects. Paths are ``.spec.replicas``: fields only."""

    def __init__(self, scale: apiextensions_v1.CustomResourceSubresourceScale) -> None:
        self._spec = tuple(scale.specReplicasPath.strip(".").split("."))
        self._status = tuple(scale.statusReplicasPath.strip(".").split("."))
        self._selector = tuple((scale.labelSelectorPath or "").strip(".").split("."))
        #: Where managed fields keep the replicas.
        self.owned = tuple(f"f:{name}" for name in self._spec)

    def scale_of(self, obj: CustomObject) -> autoscaling_v1.Scale:
        """The Scale of an object; absent replicas are 0."""
        metadata = obj.metadata
        selector = _find(obj, self._selector)
        return autoscaling_v1.Scale(
            metadata=meta_v1.ObjectMeta(
                name=metadata.name,
                namespace=metadata.namespace,
                uid=metadata.uid,
                resourceVersion=metadata.resourceVersion,
                creationTimestamp=metadata.creationTimestamp,
            ),
            spec=autoscaling_v1.ScaleSpec(replicas=_count(_find(obj, self._spec)) or None),
            status=autoscaling_v1.ScaleStatus(
                replicas=_count(_find(obj, self._status)), selector=selector if isinstance(selector, str) else None
            ),
        )

    def set_replicas(self, obj: CustomObject, replicas: int) -> None:
        """Write the wanted replicas, making the fields on the way if need be."""
        held: dict[str, Any] = obj
        for name in self._spec[:-1]:
            below = held.get(name)
            if not isinstance(below, dict):
                below = held[name] = {}
            held = below
        held[self._spec[-1]] = replicas

    def problems(self, obj: CustomObject) -> list[FieldError]:
        """Replicas are whole and not negative wherever they are read from."""
        found: list[FieldError] = []
        for steps in (self._spec, self._status):
            path, value = ".".join(steps), _find(obj, steps)
            if value is None:
                continue
            if value.__class__ is not int:
                found.append(fields.invalid(path, value, "should be an integer"))
            elif value < 0:
                found.append(fields.invalid(path, value, "should be a non-negative integer"))
            elif value > _MOST:
                found.append(fields.invalid(path, value, f"should be less than or equal to {_MOST}"))
        selector = _find(obj, self._selector)
        if selector is not None and not isinstance(selector, str):
            found.append(fields.invalid(".".join(self._selector), selector, "should be a string"))
        return found


def _find(obj: Any, steps: tuple[str, ...]) -> Any:
    for name in steps:
        if not isinstance(obj, dict):
            return None
        obj = obj.get(name)
    return obj


def _count(value: Any) -> int:
    return value if value.__class__ is int else 0
