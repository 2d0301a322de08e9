"""Compares what is there with what should be, and writes the difference."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from tiphys.api import core_v1, meta_v1, rbac_v1, scheduling_v1
from tiphys.apiserver.bootstrap import policy, service
from tiphys.apiserver.seams import Objects
from tiphys.machinery import codec, errors
from tiphys.resources import table

NAMESPACES: Final = ("default", "kube-system", "kube-public", "kube-node-lease")
AUTOUPDATE: Final = "rbac.authorization.kubernetes.io/autoupdate"
PRIORITY_CLASSES: Final = (
    (
        "system-cluster-critical",
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
    (
        "system-node-critical",
        2_000_001_000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
)

#: Gives the object to write instead of ``found``, or None if that is as it should be.
Repair = Callable[[Any, Any], Any | None]


async def bootstrap(objects: Objects, place: service.Place | None = None) -> None:
    """Bring everything up to date. ``place`` is where the API server is reached; None leaves its Service alone."""
    await _all(objects, [_namespace(name) for name in NAMESPACES], _keep)
    async with asyncio.TaskGroup() as group:
        for wanted, repair in (
            (list(policy.cluster_roles()), repaired_role),
            (list(policy.roles()), repaired_role),
            (list(policy.cluster_role_bindings()), repaired_binding),
            (list(policy.role_bindings()), repaired_binding),
            ([_priority_class(*facts) for facts in PRIORITY_CLASSES], _keep),
        ):
            group.create_task(_all(objects, wanted, repair), name="bootstrap")
        if place is not None:
            group.create_task(_service(objects, place), name="bootstrap-service")


async def _service(objects: Objects, place: service.Place) -> None:
    # The Service first: its address must be its own before another Service can be given it.
    await _one(objects, service.service(place), _repaired_service)
    if place.is_reachable:
        await _one(objects, service.endpoints(place), _repaired_endpoints)
        await _one(objects, service.endpoint_slice(place), _repaired_slice)


async def _all(objects: Objects, wanted: Sequence[Any], repair: Repair) -> None:
    async with asyncio.TaskGroup() as group:
        for obj in wanted:
            group.create_task(_one(objects, obj, repair), name="bootstrap")


async def _one(objects: Objects, wanted: Any, repair: Repair) -> None:
    row = table.by_class(type(wanted))
    found = objects.find(row.group, row.plural, wanted.metadata.namespace, wanted.metadata.name)
    try:
        if found is None:
            await objects.create(wanted)
        elif (changed := repair(codec.copy(found), wanted)) is not None:
            await objects.update(changed)
    except (errors.AlreadyExists, errors.Conflict):
        # Another API server on the same store has just done it.
        return


def _keep(found: Any, wanted: Any) -> Any | None:
    return None


def repaired_role(found: Any, wanted: Any) -> Any | None:
    """``found`` with the rules, labels and annotations it lacks; None if it lacks none."""
    if found.metadata.annotations.get(AUTOUPDATE) == "false":
        return None
    changed = _add_metadata(found, wanted)
    if isinstance(found, rbac_v1.ClusterRole) and found.aggregationRule != wanted.aggregationRule:
        found.aggregationRule, found.rules, changed = wanted.aggregationRule, wanted.rules, True
    missing = [rule for rule in wanted.rules or () if rule not in (found.rules or ())]
    if missing and getattr(wanted, "aggregationRule", None) is None:
        found.rules = [*(found.rules or ()), *missing]
        changed = True
    return found if changed else None


def repaired_binding(found: Any, wanted: Any) -> Any | None:
    """``found`` with the subjects, labels and annotations it lacks; None if it lacks none."""
    if found.metadata.annotations.get(AUTOUPDATE) == "false":
        return None
    changed = _add_metadata(found, wanted)
    missing = [subject for subject in wanted.subjects or () if subject not in (found.subjects or ())]
    if missing:
        found.subjects = [*(found.subjects or ()), *missing]
        changed = True
    return found if changed else None


def _add_metadata(found: Any, wanted: Any) -> bool:
    changed = False
    for there, needed in (
        (found.metadata.labels, wanted.metadata.labels),
        (found.metadata.annotations, wanted.metadata.annotations),
    ):
        for key, value in needed.items():
            if key not in there:
                there[key] = value
                changed = True
    return changed


def _repaired_service(found: core_v1.Service, wanted: core_v1.Service) -> core_v1.Service | None:
    found_ports = [(p.name, p.port, p.targetPort) for p in found.spec.ports or ()]
    wanted_ports = [(p.name, p.port, p.targetPort) for p in wanted.spec.ports or ()]
    if found_ports == wanted_ports:
        return None
    found.spec.ports = wanted.spec.ports
    return found


def _repaired_endpoints(found: core_v1.Endpoints, wanted: core_v1.Endpoints) -> core_v1.Endpoints | None:
    if found.subsets == wanted.subsets:
        return None
    found.subsets = wanted.subsets
    return found


def _repaired_slice(found: Any, wanted: Any) -> Any | None:
    if (found.endpoints, found.ports) == (wanted.endpoints, wanted.ports):
        return None
    found.endpoints, found.ports = wanted.endpoints, wanted.ports
    return found


def _namespace(name: str) -> core_v1.Namespace:
    return core_v1.Namespace(metadata=meta_v1.ObjectMeta(name=name))


def _priority_class(name: str, value: int, description: str) -> scheduling_v1.PriorityClass:
    return scheduling_v1.PriorityClass(
        metadata=meta_v1.ObjectMeta(name=name),
        value=value,
        description=description,
        preemptionPolicy="PreemptLowerPriority",
    )
