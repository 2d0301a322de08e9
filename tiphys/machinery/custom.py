"""Custom objects: dicts whose ``metadata`` is typed, so that everything generic serves them like Structs.

A subclass stands for one version of one kind. ``metadata`` is an ``ObjectMeta``
inside the dict, which msgspec writes as JSON like everything else; all other
fields are plain data, exactly as they were sent. apiVersion, kind and metadata
come first, as the store wants them.
"""

from typing import Any, ClassVar, Self

import msgspec

from tiphys.api import meta_v1

_json = msgspec.json.Encoder()


class CustomObject(dict[str, Any]):
    """See the module. Without arguments: the object that holds nothing but what it is."""

    __slots__ = ()

    #: What objects of the class say of themselves.
    api_version: ClassVar[str] = ""
    kind_name: ClassVar[str] = ""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        if not args:
            self["apiVersion"] = self.api_version
            self["kind"] = self.kind_name
            self["metadata"] = meta_v1.ObjectMeta()

    @property
    def apiVersion(self) -> str:  # noqa: N802  # the field's name
        return self["apiVersion"]  # type: ignore[no-any-return]

    @apiVersion.setter
    def apiVersion(self, value: str) -> None:  # noqa: N802  # the field's name
        self["apiVersion"] = value

    @property
    def kind(self) -> str:
        return self["kind"]  # type: ignore[no-any-return]

    @kind.setter
    def kind(self, value: str) -> None:
        self["kind"] = value

    @property
    def metadata(self) -> meta_v1.ObjectMeta:
        return self["metadata"]  # type: ignore[no-any-return]

    @metadata.setter
    def metadata(self, value: meta_v1.ObjectMeta) -> None:
        self["metadata"] = value

    @classmethod
    def prune(cls, obj: Self) -> list[str]:
        """Drop what the schema does not know; the paths of what was dropped, in document order."""
        return []

    @classmethod
    def structure_node(cls) -> Any:
        """What server-side apply must know (``machinery.structure.Node``)."""
        raise NotImplementedError

    def plain(self) -> dict[str, Any]:
        """The same as plain data; shares all but the metadata."""
        found = dict(self)
        found["metadata"] = msgspec.to_builtins(self["metadata"], enc_hook=str)
        return found
