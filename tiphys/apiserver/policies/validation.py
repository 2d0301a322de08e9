"""ValidatingAdmissionPolicy: refuses, warns, or leaves a note in the audit log.

Source: Kubernetes docs, "Validating Admission Policy"; KEP-3488.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from tiphys.api import meta_v1
from tiphys.apiserver.admission.meters import COMPILE_ERROR, INVALID_ERROR, NO_ERROR, OUT_OF_BUDGET
from tiphys.apiserver.admission.plugin import forbidden
from tiphys.apiserver.policies import calling as shared
from tiphys.apiserver.policies import conditions
from tiphys.apiserver.policies.calling import Call, Fault
from tiphys.apiserver.policies.compiled import Compiled
from tiphys.apiserver.policies.scope import Scope
from tiphys.apiserver.policies.source import Policy
from tiphys.apiserver.seams import Attributes
from tiphys.apiserver.webhooks.calling import Calling
from tiphys.machinery import cel, codec, errors

AUDIT_KEY: Final = "validation.policy.admission.k8s.io/validation_failure"
ANNOTATION_BYTES_MAX: Final = 10 * 1024
CODES: Final = {"Forbidden": 403, "Unauthorized": 401, "RequestEntityTooLarge": 413, "Invalid": 422}


class Failure(NamedTuple):
    """One validation that does not hold, or cannot be told. ``place`` is its validation's; -1 where it has none."""

    message: str
    reason: str = "Invalid"
    place: int = -1
    #: What kept the validation from telling, as metrics name it.
    error: str = NO_ERROR


class Refusal(NamedTuple):
    policy: Policy
    binding: Any
    failure: Failure


class Check:
    """One request's way past all policies."""

    def __init__(self, calling: Calling, attributes: Attributes, obj: Any, old: Any) -> None:
        self._calling = calling
        self._attributes = attributes
        self._obj = obj
        self._subject = calling.subject(attributes, obj, old, pending=False)
        self._refusals: list[Refusal] = []

    async def run(self, policies: Sequence[Policy]) -> None:
        """Raises the first refusal, after all policies have been asked."""
        for policy in policies:
            notes: dict[str, list[str]] = {}
            for call in shared.calls(policy, self._subject, self._calling):
                if isinstance(call, Fault):
                    self._misconfigured(call)
                else:
                    await self._call(call, notes)
            for key, values in notes.items():
                self._attributes.audit_annotations[f"{policy.name}/{key}"] = ", ".join(values)
        if self._refusals:
            raise self._refused(self._refusals[0])

    def _misconfigured(self, fault: Fault) -> None:
        if fault.policy.definition.spec.failurePolicy != "Ignore":
            self._refusals.append(Refusal(fault.policy, fault.binding, Failure(fault.why)))

    async def _call(self, call: Call, notes: dict[str, list[str]]) -> None:
        about = shared.scope(call, self._subject, self._calling)
        ignored = call.policy.definition.spec.failurePolicy == "Ignore"
        evaluation = Evaluation(call, about, ignored)
        failures = await evaluation.failures()
        for failure in failures:
            self._act(call, failure)
        if not failures:
            self._calling.meters.validated(call.policy.name, call.binding.metadata.name, NO_ERROR, "allow")
        for key, value in evaluation.notes:
            listed = notes.setdefault(key, [])
            if value not in listed:
                listed.append(value)
        for fault in evaluation.faults:
            self._refusals.append(Refusal(call.policy, call.binding, Failure(fault)))

    def _act(self, call: Call, failure: Failure) -> None:
        for action in call.binding.spec.validationActions:
            self._calling.meters.validated(call.policy.name, call.binding.metadata.name, failure.error, action.lower())
            if action == "Deny":
                self._refusals.append(Refusal(call.policy, call.binding, failure))
            elif action == "Warn":
                self._attributes.warnings.append(
                    f"Validation failed for ValidatingAdmissionPolicy '{call.policy.name}' "
                    f"with binding '{call.binding.metadata.name}': {failure.message}"
                )
            elif action == "Audit":
                self._note(call, failure)

    def _note(self, call: Call, failure: Failure) -> None:
        about = {
            "message": failure.message,
            "policy": call.binding.spec.policyName,
            "binding": call.binding.metadata.name,
            "expressionIndex": max(failure.place, 0),
            "validationActions": list(call.binding.spec.validationActions),
        }
        self._attributes.audit_annotations.setdefault(AUDIT_KEY, codec.encode([about]).decode())

    def _refused(self, first: Refusal) -> errors.StatusError:
        whose = f"ValidatingAdmissionPolicy '{first.policy.name}'"
        if first.binding is not None:
            whose += f" with binding '{first.binding.metadata.name}'"
        message = f"{whose} denied request: {first.failure.message}"
        refusal = forbidden(self._attributes, self._obj, message)
        details = refusal.details or meta_v1.StatusDetails()
        details.causes = [*(details.causes or ()), meta_v1.StatusCause(message=message)]
        reason = first.failure.reason
        return errors.UnknownError(refusal.message, details, CODES.get(reason, 422), reason)


class Evaluation:
    """One policy with one parameter. ``notes`` are audit annotations, ``faults`` those that have no value."""

    def __init__(self, call: Call, about: Scope, ignored: bool) -> None:
        self._spec = call.policy.definition.spec
        self._compiled: Compiled = call.policy.compiled
        self._about = about
        self._ignored = ignored
        self.notes: list[tuple[str, str]] = []
        self.faults: list[str] = []

    async def failures(self) -> list[Failure]:
        try:
            if not await conditions.matches(self._compiled.conditions, self._about):
                return []
        except conditions.ConditionError as error:
            return [] if self._ignored else [Failure(str(error), error=INVALID_ERROR)]
        try:
            found = await self._validated()
            await self._annotated()
        except cel.BudgetExceeded as error:
            self.notes, self.faults = [], []
            return [] if self._ignored else [Failure(str(error), error=OUT_OF_BUDGET)]
        return found

    async def _validated(self) -> list[Failure]:
        budget = cel.Budget()
        shared.with_variables(self._about, self._compiled, budget)
        found: list[Failure] = []
        for index, one in enumerate(self._compiled.main):
            try:
                if await shared.evaluated(one, self._about, budget) is True:
                    continue
            except cel.EvaluationError as error:
                if not self._ignored:
                    kind = COMPILE_ERROR if one.program is None else INVALID_ERROR
                    found.append(Failure(str(error), place=index, error=kind))
                continue
            given = self._spec.validations[index]
            found.append(Failure(await self._message(index, budget), given.reason or "Invalid", index))
        return found

    async def _message(self, index: int, budget: cel.Budget) -> str:
        """From the expression if that gives one line, else as written, else the validation itself."""
        given, expression = self._spec.validations[index], self._compiled.messages[index]
        message = ""
        if expression is not None:
            try:
                value = await shared.evaluated(expression, self._about, budget)
                message = value.strip() if isinstance(value, str) else ""
            except cel.EvaluationError:
                message = ""
            except cel.BudgetExceeded as error:
                return f"failed messageExpression: {error}"
            if "\n" in message or len(message.encode()) > cel.MAX_MESSAGE_BYTES:
                message = ""
        return message or (given.message or "").strip() or f"failed expression: {given.expression.strip()}"

    async def _annotated(self) -> None:
        budget = cel.Budget()
        shared.with_variables(self._about, self._compiled, budget)
        for one, given in zip(self._compiled.annotations, self._spec.auditAnnotations or (), strict=True):
            try:
                value = await shared.evaluated(one, self._about, budget)
            except cel.EvaluationError as error:
                if not self._ignored:
                    self.faults.append(str(error))
                continue
            if isinstance(value, str) and value.strip():
                text = value.strip().encode()[:ANNOTATION_BYTES_MAX].decode(errors="ignore")
                self.notes.append((given.key, text))
