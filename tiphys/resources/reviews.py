"""What rows of virtual resources share: they answer a create and keep nothing."""

from tiphys.api.scalars import Object
from tiphys.resources.rules import Resource, Strategy


def review(group: str, kind: str, cls: type[Object], *, namespaced: bool = False) -> Resource:
    """A row for a kind such as TokenReview; the API server has a handler for it."""
    return Resource(
        group=group,
        version="v1",
        kind=kind,
        plural=kind.lower() + "s",
        cls=cls,
        strategy=Strategy(),
        namespaced=namespaced,
        verbs=("create",),
        virtual=True,
    )
