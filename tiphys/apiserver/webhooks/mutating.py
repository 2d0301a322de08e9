"""MutatingAdmissionWebhook: one after the other, each on what the one before it has left.

Source: Kubernetes docs, "Dynamic Admission Control", "Reinvocation policy", "Mutating webhook auditing annotations".
"""

import logging
from typing import Any, Final

from tiphys.apiserver.admission.plugin import Reinvocation
from tiphys.apiserver.seams import Attributes
from tiphys.apiserver.webhooks.calling import CallFailed, Calling
from tiphys.apiserver.webhooks.matching import Invocation
from tiphys.apiserver.webhooks.review import JSON_PATCH, Verdict
from tiphys.apiserver.webhooks.source import Hook, Source
from tiphys.apiserver.webhooks.subject import Subject
from tiphys.machinery import codec, errors, patch
from tiphys.machinery.goformat import quote

log = logging.getLogger(__name__)

NAME: Final = "MutatingAdmissionWebhook"
ANNOTATION: Final = "mutation.webhook.admission.k8s.io/round_{}_index_{}"


class _Round:
    """What is kept from the first round to the second."""

    def __init__(self) -> None:
        #: Webhooks that were asked, want to be asked again, and since when something has changed.
        self.repeatable: set[str] = set()
        self.repeat: set[str] = set()
        #: The object as the last webhook left it.
        self.output = b""

    def changed(self) -> None:
        self.repeat |= self.repeatable
        self.repeatable.clear()


class Mutating:
    """See ``admission.plugin.Mutator``."""

    def __init__(self, calling: Calling, source: Source) -> None:
        self._calling = calling
        self._source = source

    @property
    def active(self) -> bool:
        return bool(self._source.hooks)

    async def mutate(self, attributes: Attributes, obj: Any, old: Any, reinvocation: Reinvocation) -> None:
        """Raises StatusError."""
        subject = self._calling.subject(attributes, obj, old, pending=True)
        kept: _Round = reinvocation.kept.setdefault(NAME, _Round())
        if reinvocation.again and codec.encode(obj) != kept.output:
            # A plugin has changed it since.
            kept.changed()
        for index, hook in enumerate(self._source.hooks):
            invocation = await self._calling.invocation(hook, subject)
            if invocation is None or (reinvocation.again and hook.uid not in kept.repeat):
                continue
            if await self._changes(hook, invocation, subject, int(reinvocation.again), index):
                kept.changed()
                reinvocation.needed = True
            if hook.webhook.reinvocationPolicy == "IfNeeded":
                kept.repeatable.add(hook.uid)
        kept.output = codec.encode(obj)

    async def _changes(self, hook: Hook, invocation: Invocation, subject: Subject, number: int, index: int) -> bool:
        """Ask one webhook and do what it says; whether that changed anything. Raises StatusError."""
        annotations = subject.attributes.audit_annotations
        key = ANNOTATION.format(number, index)
        changed = False
        try:
            verdict = await self._calling.ask(hook, invocation, subject, mutating=True)
            changed = self._patched(hook, verdict, invocation, subject)
        except CallFailed as problem:
            log.warning("%s", problem, extra={"webhook": hook.name, "ignored": problem.is_ignored})
            if not problem.is_ignored:
                raise problem.refusal() from problem
            annotations[f"failed-open.{key}"] = hook.name
        finally:
            about = {"configuration": hook.configuration, "webhook": hook.name, "mutated": changed}
            annotations[key] = codec.encode(about).decode()
        return changed

    def _patched(self, hook: Hook, verdict: Verdict, invocation: Invocation, subject: Subject) -> bool:
        if not verdict.patch:
            return False
        try:
            operations = codec.decode_builtins(verdict.patch)
        except codec.DecodeError as problem:
            raise CallFailed(hook, f"received undecodable patch in webhook response: {problem}") from problem
        if not operations:
            return False
        if subject.obj is None:
            why = (
                f"admission webhook {quote(hook.name)} attempted to modify the object, "
                "which is not supported for this operation"
            )
            raise errors.InternalError(why)
        if verdict.patch_type != JSON_PATCH:
            raise CallFailed(hook, f"unsupported patch type {quote(verdict.patch_type)}")
        document = codec.decode_builtins(subject.new(invocation.row))
        try:
            return subject.replace(patch.json_patch(document, operations), invocation.row)
        except errors.StatusError as problem:
            raise errors.InternalError(getattr(problem, "why", problem.message)) from problem
        except codec.DecodeError as problem:
            raise errors.InternalError(str(problem)) from problem
