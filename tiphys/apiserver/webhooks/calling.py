"""What both stages do with one webhook: is it meant, ask it, and what its answer is worth."""

import logging
from dataclasses import dataclass
from typing import Any, Final

from tiphys.apiserver.admission.meters import ADMIT, CALLING_ERROR, NO_ERROR, VALIDATING, Meters
from tiphys.apiserver.admission.plugin import Tools
from tiphys.apiserver.seams import Attributes
from tiphys.apiserver.webhooks import matching, review
from tiphys.apiserver.webhooks.client import Caller, CallError
from tiphys.apiserver.webhooks.conditions import Conditions
from tiphys.apiserver.webhooks.matching import Invocation
from tiphys.apiserver.webhooks.source import Hook
from tiphys.apiserver.webhooks.subject import Rows, Subject
from tiphys.machinery import errors
from tiphys.machinery.goformat import quote

log = logging.getLogger(__name__)

TIMEOUT_SECONDS: Final = 10
WITHOUT_EFFECTS: Final = ("None", "NoneOnDryRun")


class CallFailed(Exception):
    """The webhook could not be asked or talked nonsense: its failure policy decides."""

    def __init__(self, hook: Hook, why: str) -> None:
        super().__init__(f"failed calling webhook {quote(hook.name)}: {why}")
        self.hook = hook

    @property
    def is_ignored(self) -> bool:
        return bool(self.hook.webhook.failurePolicy == "Ignore")

    def refusal(self) -> errors.InternalError:
        return errors.InternalError(str(self))


@dataclass(frozen=True, slots=True)
class Calling:
    """What calls need; one per API server, for both stages."""

    tools: Tools
    caller: Caller
    rows: Rows
    conditions: Conditions
    meters: Meters

    def subject(self, attributes: Attributes, obj: Any, old: Any, *, pending: bool) -> Subject:
        """The request's object as webhooks see it."""
        row = self.rows.find(attributes.group, attributes.version, attributes.resource)
        return Subject(attributes, obj, old, row, pending=pending)

    async def invocation(self, hook: Hook, subject: Subject) -> Invocation | None:
        """How the webhook is to be asked; None if it does not want to be. Raises StatusError."""
        webhook = hook.webhook
        missing: errors.NotFound | None = None
        try:
            if not matching.selects_namespace(hook.namespaces, subject, self.tools.objects):
                return None
        except errors.NotFound as problem:
            # Only of interest to a webhook that is meant otherwise.
            missing = problem
        if not matching.selects_object(hook.objects, subject):
            return None
        found = matching.invocation(self.rows, webhook.rules or (), webhook.matchPolicy, subject)
        if found is None:
            return None
        if missing is not None:
            raise missing
        if webhook.matchConditions and not await self.conditions.hold(hook, found, subject):
            return None
        return found

    async def ask(self, hook: Hook, invocation: Invocation, subject: Subject, *, mutating: bool) -> review.Verdict:
        """What the webhook says. Raises CallFailed, and StatusError if it refuses or may not be asked."""
        if subject.attributes.dry_run and hook.webhook.sideEffects not in WITHOUT_EFFECTS:
            raise errors.BadRequest(f"admission webhook {quote(hook.name)} does not support dry run")
        clock, kind = self.tools.clock, ADMIT if mutating else VALIDATING
        start = clock.monotonic()
        operation = subject.attributes.operation
        refused: errors.StatusError | None = None
        code = 0
        try:
            verdict = await self._answer(hook, invocation, subject, mutating=mutating)
            code = 200
            refused = None if verdict.allowed else review.refusal(hook.name, verdict.status)
        except CallFailed as problem:
            if problem.is_ignored:
                self.meters.failed_open(hook.name, kind)
            else:
                self.meters.rejected(hook.name, kind, operation, CALLING_ERROR, 0)
            raise
        finally:
            code = refused.code if refused is not None else code
            self.meters.asked(hook.name, kind, operation, code, code != 200, clock.monotonic() - start)
        if refused is not None:
            self.meters.rejected(hook.name, kind, operation, NO_ERROR, refused.code)
            raise refused
        return verdict

    async def _answer(self, hook: Hook, invocation: Invocation, subject: Subject, *, mutating: bool) -> review.Verdict:
        """Raises CallFailed."""
        webhook = hook.webhook
        attributes = subject.attributes
        uid = self.tools.ids.uid()
        try:
            version = review.version_of(webhook.admissionReviewVersions)
            body = review.question(uid, version, invocation, subject)
        except review.Unusable as problem:
            raise CallFailed(hook, f"could not create admission objects: {problem}") from problem
        try:
            answer = await self.caller.post(
                webhook.clientConfig, body, float(webhook.timeoutSeconds or TIMEOUT_SECONDS)
            )
        except CallError as problem:
            raise CallFailed(hook, f"failed to call webhook: {problem}") from problem
        try:
            verdict = review.verdict(answer, uid, version, mutating=mutating)
        except review.Unusable as problem:
            raise CallFailed(hook, f"received invalid webhook response: {problem}") from problem
        for key, value in verdict.annotations.items():
            attributes.audit_annotations[f"{hook.name}/{key}"] = value
        attributes.warnings.extend(verdict.warnings)
        return verdict
