"""Objects whose types nobody knows (custom resources, reviews), read as typed ones are: ``obj.spec.size``.

A field that is absent is None, and ``metadata`` is an ``ObjectMeta``. They are dicts all the same; a field whose
name is one of dict's own (``items``, ``keys``, ``values``, ``get``) is read as ``obj["items"]``.
"""

from typing import Any

from tiphys.api import meta_v1
from tiphys.machinery import codec

#: What typed objects always have.
_ALWAYS = ("spec", "status")


class Fields(dict[str, Any]):
    """A dict whose keys can be read as attributes."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            # What copying and pickling ask for.
            raise AttributeError(name)
        return viewed(self.get(name))


class View(Fields):
    """A whole object."""

    @property
    def metadata(self) -> meta_v1.ObjectMeta:
        return codec.convert(meta_v1.ObjectMeta, self.get("metadata") or {})

    def __getattr__(self, name: str) -> Any:
        found = super().__getattr__(name)
        return Fields() if found is None and name in _ALWAYS else found


def viewed(value: Any) -> Any:
    """``value`` with its dicts, also those in lists, as Fields."""
    if isinstance(value, dict):
        return value if isinstance(value, Fields) else Fields(value)
    if isinstance(value, list):
        return [viewed(one) for one in value]
    return value
