"""Other versions of a kind whose fields are the same: a second row that converts by renaming the version.

Source: Kubernetes docs, "API Overview", "API versioning"; all versions of one object are views of what is stored.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tiphys.api.scalars import Object
from tiphys.machinery import codec
from tiphys.resources.rules import Resource


def _conversion(cls: type[Object], api_version: str) -> Callable[[Any], Any]:
    def convert(obj: Any) -> Any:
        found = codec.to_builtins(obj)
        found["apiVersion"] = api_version
        return codec.convert(cls, found)

    return convert


def older(row: Resource, version: str, cls: type[Object]) -> Resource:
    """``row`` in a version that is off unless ``--runtime-config`` switches it on; it is stored as ``row`` is."""
    again = replace(row, version=version, cls=cls, storage=row.storage_resource, optional=True)
    return replace(
        again,
        to_storage=_conversion(row.cls, row.api_version),
        from_storage=_conversion(cls, again.api_version),
    )
