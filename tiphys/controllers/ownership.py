"""Which dependents belong to an owner by label selector: claim, adopt, release.

A controller owns what names it as controller. What matches its selector and has
no controller it adopts; what it owns and no longer matches it releases. Objects
that are being deleted are neither adopted nor released.
Source: Kubernetes docs, "Labels and Selectors"; controller reference design, by behaviour.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from tiphys.api import meta_v1
from tiphys.client import ResourceClient
from tiphys.machinery import codec, errors, meta
from tiphys.machinery.selectors import Selector

logger = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Claims(Generic[T]):
    """``owned`` belong to the owner and stay; the others' owner references must change."""

    owned: list[T]
    adopt: list[T]
    release: list[T]


def claims(owner: Any, selector: Selector, controlled: Iterable[T], orphans: Iterable[T]) -> Claims[T]:
    """Sort what names ``owner`` as its controller, and what names nobody."""
    found: Claims[T] = Claims([], [], [])
    dying = owner.metadata.deletionTimestamp is not None
    matches = selector.matches
    for obj in controlled:
        metadata = obj.metadata  # type: ignore[attr-defined]  # every API object has it
        if matches(metadata.labels):
            found.owned.append(obj)
        elif not dying and metadata.deletionTimestamp is None:
            found.release.append(obj)
    if dying:
        return found
    for obj in orphans:
        metadata = obj.metadata  # type: ignore[attr-defined]  # every API object has it
        if metadata.deletionTimestamp is None and matches(metadata.labels):
            found.adopt.append(obj)
    return found


def index_by_controller(obj: Any) -> Sequence[str]:
    """Index function: the controller's uid, or ``orphans/<namespace>``."""
    for reference in obj.metadata.ownerReferences:
        if reference.controller:
            return (reference.uid,)
    return (f"orphans/{obj.metadata.namespace}",)


def adoption_patch(owner: Any, obj: Any, finalizers: Sequence[str] = ()) -> dict[str, Any]:
    """Strategic merge patch that adds ``owner``; the uid makes it fail for another object of that name."""
    reference: meta_v1.OwnerReference = meta.owner_reference(owner, controller=True)
    metadata = {"ownerReferences": [codec.to_builtins(reference)], "uid": obj.metadata.uid}
    return {"metadata": metadata | ({"finalizers": [*finalizers]} if finalizers else {})}


def release_patch(owner: Any, obj: Any) -> dict[str, Any]:
    """Strategic merge patch that takes ``owner`` away."""
    gone = {"$patch": "delete", "uid": owner.metadata.uid}
    return {"metadata": {"ownerReferences": [gone], "uid": obj.metadata.uid}}


async def claim(
    owner: Any,
    selector: Selector,
    controlled: Iterable[T],
    orphans: Iterable[T],
    resource: ResourceClient[T],
    still_there: Callable[[], Awaitable[bool]],
    finalizers: Sequence[str] = (),
) -> list[T]:
    """What belongs to ``owner``, after adopting (which adds ``finalizers``) and releasing.

    ``still_there`` asks the server, not a cache, whether the owner still exists and is
    not being deleted: what a dead owner adopts would be collected with it.
    """
    sorted_out = claims(owner, selector, controlled, orphans)
    owned = sorted_out.owned
    if sorted_out.release:
        await asyncio.gather(*(_patch(resource, obj, release_patch(owner, obj)) for obj in sorted_out.release))
    if sorted_out.adopt and await still_there():
        patched = await asyncio.gather(
            *(_patch(resource, obj, adoption_patch(owner, obj, finalizers)) for obj in sorted_out.adopt)
        )
        owned.extend(obj for found in patched for obj in found)
    return owned


async def _patch(resource: ResourceClient[T], obj: T, patch: dict[str, Any]) -> list[T]:
    """The patched object; nothing if it is gone or another stands in its place."""
    try:
        return [await resource.patch(meta.name_of(obj), meta.namespace_of(obj), patch, "strategic")]
    except (errors.NotFound, errors.Invalid) as error:
        # Invalid: the uid differs, as another object of that name has come.
        logger.debug("%s %s: not claimed: %s", resource.plural, meta.key_of(obj), error)
        return []
