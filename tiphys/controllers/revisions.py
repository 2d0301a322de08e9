"""Past templates of DaemonSets and StatefulSets, kept as ControllerRevisions. Decisions are pure.

A revision's data is a strategic merge patch that brings the template back, as
``kubectl rollout undo`` expects it. Names end in a hash of the template, so that
one template is kept once; a number says which came later.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from tiphys.api import apps_v1, core_v1, meta_v1
from tiphys.client import ResourceClient
from tiphys.machinery import codec, errors, hashing, meta

Revision = apps_v1.ControllerRevision

#: On a StatefulSet's revisions; a DaemonSet's bear the label of its Pods.
HASH = "controller.kubernetes.io/hash"
#: On Pods.
POD_HASH = "controller-revision-hash"


@dataclass(frozen=True, slots=True)
class History:
    """``current`` is the revision of the present template, None if there is none yet; ``old`` are the others."""

    current: Revision | None
    old: tuple[Revision, ...]
    #: More revisions of the present template, which are too many.
    twins: tuple[Revision, ...] = ()


def data_of(template: core_v1.PodTemplateSpec) -> dict[str, Any]:
    return {"spec": {"template": {**codec.to_builtins(template), "$patch": "replace"}}}


def template_of(revision: Revision) -> core_v1.PodTemplateSpec:
    data: Any = revision.data or {}
    kept = {name: value for name, value in data["spec"]["template"].items() if name != "$patch"}
    return codec.convert(core_v1.PodTemplateSpec, kept)


def history(template: core_v1.PodTemplateSpec, revisions: Sequence[Revision]) -> History:
    """Sorted by number; of several of the present template the newest is the current one."""
    wanted = data_of(template)
    ordered = sorted(revisions, key=lambda r: (r.revision, r.metadata.creationTimestamp or "", r.metadata.name))
    same = [revision for revision in ordered if revision.data == wanted]
    old = tuple(revision for revision in ordered if revision.data != wanted)
    return History(same[-1] if same else None, old, tuple(same[:-1]))


def next_number(revisions: Sequence[Revision]) -> int:
    return max((revision.revision for revision in revisions), default=0) + 1


def superfluous(old: Sequence[Revision], limit: int | None, live: Collection[str]) -> list[Revision]:
    """Revisions beyond the limit, the oldest first; never one whose name or hash is ``live``."""
    dead = [r for r in old if r.metadata.name not in live and hash_of(r) not in live]
    return dead[: max(0, len(dead) - (10 if limit is None else limit))]


def hash_of(revision: Revision) -> str:
    labels = revision.metadata.labels
    return labels.get(POD_HASH) or labels.get(HASH) or revision.metadata.name.rpartition("-")[2]


def new_revision(
    owner: Any, template: core_v1.PodTemplateSpec, number: int, collisions: int | None, label: str
) -> Revision:
    digest = hashing.template_hash(template, collisions)
    name = owner.metadata.name
    return Revision(
        metadata=meta_v1.ObjectMeta(
            # Kubernetes leaves thirty characters for what follows.
            name=f"{name[:223]}-{digest}",
            namespace=owner.metadata.namespace,
            labels={**template.metadata.labels, label: digest},
            annotations=dict(owner.metadata.annotations),
            ownerReferences=[meta.owner_reference(owner, controller=True)],
        ),
        data=data_of(template),
        revision=number,
    )


async def ensure_current(
    calls: ResourceClient[Revision],
    owner: Any,
    template: core_v1.PodTemplateSpec,
    found: History,
    label: str,
    collided: Callable[[], Awaitable[None]],
) -> Revision:
    """The revision of the present template, made or brought to the front.

    ``collided`` counts a collision in the owner's status, which gives another name the next time.
    """
    if found.current is None:
        wanted = new_revision(owner, template, next_number(found.old), owner.status.collisionCount, label)
        return await _create(calls, wanted, owner, collided)
    for twin in found.twins:
        await delete(calls, twin)
    number = next_number(found.old)
    if found.current.revision >= number:
        return found.current
    return await calls.update(msgspec.structs.replace(found.current, revision=number))


async def _create(
    calls: ResourceClient[Revision], wanted: Revision, owner: Any, collided: Callable[[], Awaitable[None]]
) -> Revision:
    try:
        return await calls.create(wanted)
    except errors.AlreadyExists:
        there = await calls.get(wanted.metadata.name, wanted.metadata.namespace)
        if meta.is_controlled_by(there, owner) and there.data == wanted.data:
            return there
        await collided()
        raise


async def delete(calls: ResourceClient[Revision], revision: Revision) -> None:
    try:
        await calls.delete(revision.metadata.name, revision.metadata.namespace, uid=revision.metadata.uid)
    except (errors.NotFound, errors.Conflict):
        return
