"""What all objects share, read the same way from Structs and from dicts."""

from collections.abc import Mapping
from typing import Any

import msgspec

from tiphys.api import meta_v1


def _get(obj: Any, field: str) -> Any:
    return obj.get(field) if isinstance(obj, Mapping) else getattr(obj, field, None)


def metadata_of(obj: Any) -> Any:
    return _get(obj, "metadata") or {}


def name_of(obj: Any) -> str:
    return _get(metadata_of(obj), "name") or ""


def namespace_of(obj: Any) -> str:
    return _get(metadata_of(obj), "namespace") or ""


def uid_of(obj: Any) -> str:
    return _get(metadata_of(obj), "uid") or ""


def resource_version_of(obj: Any) -> str:
    return _get(metadata_of(obj), "resourceVersion") or ""


def labels_of(obj: Any) -> Mapping[str, str]:
    return _get(metadata_of(obj), "labels") or {}


def annotations_of(obj: Any) -> Mapping[str, str]:
    return _get(metadata_of(obj), "annotations") or {}


def finalizers_of(obj: Any) -> list[str]:
    return _get(metadata_of(obj), "finalizers") or []


def generation_of(obj: Any) -> int:
    return _get(metadata_of(obj), "generation") or 0


def is_deleting(obj: Any) -> bool:
    return _get(metadata_of(obj), "deletionTimestamp") is not None


def key_of(obj: Any) -> str:
    """``namespace/name``, or ``name`` where there is no namespace."""
    metadata = metadata_of(obj)
    namespace, name = _get(metadata, "namespace") or "", _get(metadata, "name") or ""
    return f"{namespace}/{name}" if namespace else name


def split_key(key: str) -> tuple[str, str]:
    """Namespace (may be empty) and name."""
    namespace, _, name = key.rpartition("/")
    return namespace, name


def owners_of(obj: Any) -> list[meta_v1.OwnerReference]:
    found = _get(metadata_of(obj), "ownerReferences") or []
    return [o if isinstance(o, meta_v1.OwnerReference) else msgspec.convert(o, meta_v1.OwnerReference) for o in found]


def controller_of(obj: Any) -> meta_v1.OwnerReference | None:
    """The owner reference that is marked as the controller's."""
    return next((owner for owner in owners_of(obj) if owner.controller), None)


def owner_reference(obj: Any, controller: bool = True) -> meta_v1.OwnerReference:
    """A reference to ``obj`` for its dependents; a controller's also blocks its deletion."""
    return meta_v1.OwnerReference(
        apiVersion=_get(obj, "apiVersion") or "",
        kind=_get(obj, "kind") or "",
        name=name_of(obj),
        uid=uid_of(obj),
        controller=True if controller else None,
        blockOwnerDeletion=True if controller else None,
    )


def is_controlled_by(obj: Any, owner: Any) -> bool:
    controller = controller_of(obj)
    return controller is not None and controller.uid == uid_of(owner)


def group_of(api_version: str) -> str:
    return api_version.rpartition("/")[0]


def version_of(api_version: str) -> str:
    return api_version.rpartition("/")[2]
