"""Follows CustomResourceDefinitions: gives them their names, serves what they define, clears up behind them.

One task takes one definition after the other, because names are given one by
one. It wakes for changes only. A write that loses its race is made again when
the change that won arrives.
Source: apiextensions-apiserver's naming, establishing, approval and finalizing controllers, by behaviour.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Any, Final

from tiphys.api import meta_v1
from tiphys.apiserver.cache import Change
from tiphys.apiserver.extensions import naming
from tiphys.apiserver.extensions.kinds import Crd
from tiphys.apiserver.extensions.serving import Served, Serving
from tiphys.apiserver.objects import system_call
from tiphys.apiserver.registry import deleting
from tiphys.apiserver.seams import Objects
from tiphys.base.clock import Clock
from tiphys.machinery import codec, conditions, errors
from tiphys.resources.apiextensions.custom_resource_definition import CLEANUP

log = logging.getLogger(__name__)

GROUP: Final = "apiextensions.k8s.io"
PLURAL: Final = "customresourcedefinitions"
# A definition that could not be handled is tried again after this long.
RETRY_SECONDS: Final = 5.0


class Definitions:
    """See the module. ``restore`` before the cache follows the store, then ``start``, at the end ``stop``."""

    def __init__(self, objects: Objects, serving: Serving, clock: Clock) -> None:
        self._objects = objects
        self._serving = serving
        self._clock = clock
        self._waiting: dict[str, None] = {}
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._retries: set[asyncio.TimerHandle] = set()

    def restore(self) -> None:
        """Serve at once what was established when the server went down."""
        for crd in self._all():
            if naming.is_true(crd, naming.ESTABLISHED):
                try:
                    self._serving.restore(crd)
                except Exception:
                    # One definition that this version cannot serve must not keep the server down.
                    log.exception("definition cannot be served", extra={"definition": crd.metadata.name})
            self._waiting[crd.metadata.name] = None

    def start(self) -> None:
        self._objects.subscribe(GROUP, PLURAL, self._changed)
        if self._waiting:
            self._woken.set()
        self._task = asyncio.create_task(self._run(), name="apiserver-definitions")

    async def stop(self) -> None:
        for timer in self._retries:
            timer.cancel()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._serving.close()

    def _all(self) -> Sequence[Crd]:
        return self._objects.all(GROUP, PLURAL)

    def _changed(self, new: Any | None, old: Any | None) -> None:
        crd: Any = new or old
        name = crd.metadata.name
        self._wake(name)
        if new is not None and self._serving.find(name) is not None:
            # At once, so that who changed a schema is answered when it holds.
            try:
                self._serving.refresh(new)
            except Exception:
                # The cache is telling of a change: it goes on with what was served before, and ``_run`` tries again.
                log.exception("definition cannot be served as it is now", extra={"definition": name})

    def _wake(self, name: str) -> None:
        self._waiting[name] = None
        self._woken.set()

    async def _run(self) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            while self._waiting:
                name = next(iter(self._waiting))
                del self._waiting[name]
                await self._handle(name)

    async def _handle(self, name: str) -> None:
        try:
            await self._reconcile(name)
        except (errors.Conflict, errors.NotFound):
            # Somebody else has written it, which wakes us again.
            log.debug("definition has changed meanwhile", extra={"definition": name})
        except Exception:
            log.exception("definition could not be handled", extra={"definition": name})
            self._retry(name)

    def _retry(self, name: str) -> None:
        def again() -> None:
            self._retries.discard(timer)
            self._wake(name)

        timer = asyncio.get_running_loop().call_later(RETRY_SECONDS, again)
        self._retries.add(timer)

    async def _reconcile(self, name: str) -> None:
        crd: Crd | None = self._objects.find(GROUP, PLURAL, "", name)
        if crd is None:
            self._serving.withdraw(name)
            self._wake_rivals(name, name.partition(".")[2])
            return
        names, condition = naming.accepted(crd, [other for other in self._all() if other.spec.group == crd.spec.group])
        decided = codec.copy(crd)
        decided.status.acceptedNames = names
        self._set(decided, condition)
        if naming.is_true(decided, naming.NAMES_ACCEPTED) or naming.is_true(crd, naming.ESTABLISHED):
            await self._serving.serve(decided)
        self._set(decided, naming.established(crd, condition))
        if (approval := naming.approval(crd)) is not None:
            self._set(decided, approval)
        if decided.status != crd.status:
            decided = await self._objects.update(decided, "status")
            if names != crd.status.acceptedNames:
                self._wake_rivals(name, crd.spec.group)
        if decided.metadata.deletionTimestamp and CLEANUP in decided.metadata.finalizers:
            await self._clear(decided)

    def _set(self, crd: Crd, condition: naming.Condition) -> None:
        crd.status.conditions = conditions.set_condition(crd.status.conditions, condition, self._clock.now())

    def _wake_rivals(self, name: str, group: str) -> None:
        """Names may have become free."""
        for other in self._all():
            rival = other.spec.group == group and other.metadata.name != name
            if rival and not naming.is_true(other, naming.NAMES_ACCEPTED):
                self._wake(other.metadata.name)

    async def _clear(self, crd: Crd) -> None:
        """Delete all objects of a definition that goes; let it go once none is left."""
        name = crd.metadata.name
        served = self._serving.find(name)
        if served is not None and served.cache.entries:
            if not _is(crd, "InstanceDeletionInProgress"):
                self._terminating(crd, "True", "InstanceDeletionInProgress", "CustomResource deletion is in progress")
                crd = await self._objects.update(crd, "status")
            self._follow(name, served)
            call = system_call(served.storage, "DELETE", "", "")
            await deleting.delete_entries(call, list(served.cache.entries.values()), meta_v1.DeleteOptions())
            if served.cache.entries:
                # Finalizers keep them; the last one to go wakes us.
                return
        self._terminating(crd, "False", "InstanceDeletionCompleted", "removed all instances")
        crd = await self._objects.update(crd, "status")
        crd.metadata.finalizers = [finalizer for finalizer in crd.metadata.finalizers if finalizer != CLEANUP]
        await self._objects.update(crd)

    def _terminating(self, crd: Crd, status: str, reason: str, message: str) -> None:
        self._set(crd, naming.Condition(type=naming.TERMINATING, status=status, reason=reason, message=message))

    def _follow(self, name: str, served: Served) -> None:
        """Wake when the last object has gone."""
        listeners = served.cache.listeners

        def gone(changes: Sequence[Change]) -> None:
            if not served.cache.entries:
                # Not now: the list is being walked.
                asyncio.get_running_loop().call_soon(listeners.remove, gone)
                self._wake(name)

        if not any(getattr(listener, "__name__", "") == "gone" for listener in listeners):
            listeners.append(gone)


def _is(crd: Crd, reason: str) -> bool:
    found = naming.find(crd, naming.TERMINATING)
    return found is not None and found.reason == reason
