"""Writes status.typeChecking and status.observedGeneration of validating policies, after each change of their spec.

Kubernetes has a controller for it; here the schemas are the API server's own.
"""

import asyncio
import logging
from typing import Any, Final

from tiphys.api import admissionregistration_v1
from tiphys.apiserver.admission.plugin import Tools
from tiphys.apiserver.policies.source import GROUP
from tiphys.machinery import codec, errors

log = logging.getLogger(__name__)
PLURAL: Final = "validatingadmissionpolicies"


class Reporter:
    """Works while there is something to do; ``close`` at the server's end."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        #: Names, in the order in which they changed.
        self._waiting: dict[str, None] = {}
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        tools.objects.subscribe(GROUP, PLURAL, self._changed)

    async def close(self) -> None:
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _changed(self, new: Any, old: Any) -> None:
        if new is None or self._closed or new.status.observedGeneration == new.metadata.generation:
            return
        self._waiting[new.metadata.name] = None
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._work(), name="policies' type checking")

    async def _work(self) -> None:
        while self._waiting:
            name = next(iter(self._waiting))
            del self._waiting[name]
            try:
                await self._report(name)
            except errors.Conflict:
                self._waiting[name] = None
            except Exception as error:
                # Whatever is wrong with this policy, those behind it are looked at.
                log.warning("status of a policy was not written", extra={"policy": name}, exc_info=error)
            await asyncio.sleep(0)
        self._task = None

    async def _report(self, name: str) -> None:
        # The expression language and all schemas are only loaded where there are expressions.
        from tiphys.apiserver.policies import typechecking  # noqa: PLC0415

        found: Any = self._tools.objects.find(GROUP, PLURAL, "", name)
        if found is None or found.status.observedGeneration == found.metadata.generation:
            return
        policy = codec.copy(found)
        listed = typechecking.warnings(policy, self._tools.catalog)
        policy.status.observedGeneration = policy.metadata.generation
        policy.status.typeChecking = admissionregistration_v1.TypeChecking(expressionWarnings=listed or None)
        await self._tools.objects.update(policy, "status")
