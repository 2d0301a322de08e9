"""Keeps the FlowSchemas and levels every cluster has, and the conditions that say whether a schema's level is there.

Event-driven: a pass after each change of them, at most one a second.
Source: KEP-1040, "Default Behavior"; Kubernetes docs, "API Priority and
Fairness", "Maintenance of the mandatory and suggested configuration objects".
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, Final

from tiphys.api import flowcontrol_v1 as v1
from tiphys.apiserver.flowcontrol.control import GROUP
from tiphys.apiserver.seams import Objects
from tiphys.base.clock import Clock
from tiphys.machinery import codec, errors, times
from tiphys.resources import table
from tiphys.resources.flowcontrol import mandatory as defaults

log = logging.getLogger(__name__)

PAUSE_SECONDS: Final = 1.0
DANGLING: Final = "Dangling"


@contextlib.asynccontextmanager
async def keeping(objects: Objects, clock: Clock) -> AsyncIterator[None]:
    """Begins with a whole pass, so that who enters finds everything in place."""
    await one_pass(objects, clock)
    changed = asyncio.Event()
    for plural in ("flowschemas", "prioritylevelconfigurations"):
        objects.subscribe(GROUP, plural, lambda new, old: changed.set())
    task = asyncio.create_task(_keep(objects, clock, changed), name="flow-control-objects")
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _keep(objects: Objects, clock: Clock, changed: asyncio.Event) -> None:
    while True:
        await changed.wait()
        await clock.sleep(PAUSE_SECONDS)
        changed.clear()
        try:
            await one_pass(objects, clock)
        except errors.StatusError as problem:
            log.warning("flow control's objects could not be written", exc_info=problem)
            changed.set()


async def one_pass(objects: Objects, clock: Clock) -> None:
    """Write what differs. Raises StatusError, but not for what another server has done meanwhile."""
    for wanted in (*defaults.levels(), *defaults.schemas()):
        await _ensure(objects, wanted)
    for schema in objects.all(GROUP, "flowschemas"):
        condition = dangling(objects, schema, clock.now())
        if condition is not None:
            await _write_condition(objects, schema, condition)


async def _ensure(objects: Objects, wanted: Any) -> None:
    row = table.by_class(type(wanted))
    found = objects.find(GROUP, row.plural, "", wanted.metadata.name)
    with contextlib.suppress(errors.AlreadyExists, errors.Conflict, errors.NotFound):
        if found is None:
            await objects.create(codec.copy(wanted))
        elif (changed := repaired(found, wanted)) is not None:
            await objects.update(changed)


def repaired(found: Any, wanted: Any) -> Any | None:
    """``found`` as it should be; None if it is so, or belongs to somebody else.

    A suggested object is its owner's once he has said so by the annotation, or,
    without the annotation, once he has changed it.
    """
    mandatory = found.metadata.name in defaults.MANDATORY
    said = found.metadata.annotations.get(defaults.AUTOUPDATE)
    ours = mandatory or (said == "true" if said in ("true", "false") else found.metadata.generation == 1)
    note = "true" if ours else "false"
    if said == note and (not ours or found.spec == wanted.spec):
        return None
    changed = codec.copy(found)
    changed.metadata.annotations[defaults.AUTOUPDATE] = note
    if ours:
        changed.spec = codec.copy(wanted).spec
    return changed


def dangling(objects: Objects, schema: v1.FlowSchema, now: datetime) -> v1.FlowSchemaCondition | None:
    """The condition that ``schema`` should have and has not."""
    name = schema.spec.priorityLevelConfiguration.name
    there = objects.find(GROUP, "prioritylevelconfigurations", "", name) is not None
    tail = "and it exists" if there else "but there is no such object"
    wanted = v1.FlowSchemaCondition(
        type=DANGLING,
        status="False" if there else "True",
        reason="Found" if there else "NotFound",
        message=f'This FlowSchema references the PriorityLevelConfiguration object named "{name}" {tail}',
        lastTransitionTime=times.format_time(now),
    )
    for found in schema.status.conditions or ():
        if found.type == DANGLING:
            same = (found.status, found.reason, found.message) == (wanted.status, wanted.reason, wanted.message)
            return None if same else wanted
    return wanted


async def _write_condition(objects: Objects, schema: v1.FlowSchema, condition: v1.FlowSchemaCondition) -> None:
    changed = codec.copy(schema)
    others = [each for each in changed.status.conditions or () if each.type != DANGLING]
    changed.status.conditions = [*others, condition]
    with contextlib.suppress(errors.Conflict, errors.NotFound):
        await objects.update(changed, "status")
