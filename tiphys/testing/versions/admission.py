"""Drops from objects what their version does not have: what clients sent, and what newer defaults put there."""

from typing import Any

import msgspec

from tiphys.apiserver.seams import Admission, Attributes
from tiphys.testing.versions.absence import Absence, drop


class Dropping:
    """Stands around the admission chain, so that neither webhooks nor the store see more."""

    def __init__(self, inner: Admission, absence: Absence) -> None:
        self._inner = inner
        self._absence = absence

    async def admit(self, attributes: Attributes, obj: Any, old: Any) -> None:
        self._drop(obj)
        await self._inner.admit(attributes, obj, old)
        self._drop(obj)

    async def validate(self, attributes: Attributes, obj: Any, old: Any) -> None:
        await self._inner.validate(attributes, obj, old)

    def _drop(self, obj: Any) -> None:
        if isinstance(obj, msgspec.Struct):
            tree = self._absence.fields(type(obj))
            if tree:
                drop(obj, tree)
