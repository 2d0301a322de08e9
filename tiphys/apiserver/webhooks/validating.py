"""ValidatingAdmissionWebhook: all at once, and one refusal is enough.

Source: Kubernetes docs, "Dynamic Admission Control".
"""

import asyncio
import logging
from typing import Any, Final

from tiphys.apiserver.seams import Attributes
from tiphys.apiserver.webhooks.calling import CallFailed, Calling
from tiphys.apiserver.webhooks.matching import Invocation
from tiphys.apiserver.webhooks.source import Hook, Source
from tiphys.apiserver.webhooks.subject import Subject
from tiphys.machinery import errors

log = logging.getLogger(__name__)

ANNOTATION: Final = "failed-open.validating.webhook.admission.k8s.io/round_0_index_{}"


class Validating:
    """See ``admission.plugin.Validator``."""

    def __init__(self, calling: Calling, source: Source) -> None:
        self._calling = calling
        self._source = source

    @property
    def active(self) -> bool:
        return bool(self._source.hooks)

    async def check(self, attributes: Attributes, obj: Any, old: Any) -> None:
        """Raises the first refusal, in the order of the webhooks, after all have answered."""
        subject = self._calling.subject(attributes, obj, old, pending=False)
        wanted: list[tuple[Hook, Invocation]] = []
        for hook in self._source.hooks:
            invocation = await self._calling.invocation(hook, subject)
            if invocation is not None:
                wanted.append((hook, invocation))
        if not wanted:
            return
        answers = await asyncio.gather(
            *(self._ask(hook, invocation, subject, index) for index, (hook, invocation) in enumerate(wanted))
        )
        for refusal in answers:
            if refusal is not None:
                raise refusal

    async def _ask(self, hook: Hook, invocation: Invocation, subject: Subject, index: int) -> errors.StatusError | None:
        """The refusal; None if there is none."""
        try:
            await self._calling.ask(hook, invocation, subject, mutating=False)
        except CallFailed as problem:
            log.warning("%s", problem, extra={"webhook": hook.name, "ignored": problem.is_ignored})
            if not problem.is_ignored:
                return problem.refusal()
            subject.attributes.audit_annotations[ANNOTATION.format(index)] = hook.name
        except errors.StatusError as problem:
            return problem
        return None
