"""MutatingAdmissionPolicy: changes objects, one policy after the other.

Source: Kubernetes docs, "Mutating Admission Policy"; KEP-3962.
"""

from collections.abc import Sequence
from typing import Any, Final

from tiphys.api import meta_v1
from tiphys.apiserver.admission.meters import COMPILE_ERROR, INVALID_ERROR, NO_ERROR, OUT_OF_BUDGET
from tiphys.apiserver.admission.plugin import Reinvocation, forbidden
from tiphys.apiserver.policies import calling as shared
from tiphys.apiserver.policies import conditions, patches
from tiphys.apiserver.policies.calling import Call, Fault
from tiphys.apiserver.policies.compiled import Compiled
from tiphys.apiserver.policies.source import Policy
from tiphys.apiserver.seams import Attributes
from tiphys.apiserver.webhooks.calling import Calling
from tiphys.machinery import cel, codec, errors

NAME: Final = "MutatingAdmissionPolicy"


class _Round:
    """What is kept from the first round to the second."""

    def __init__(self) -> None:
        self.repeatable: set[Any] = set()
        self.repeat: set[Any] = set()
        self.output = b""

    def changed(self) -> None:
        self.repeat |= self.repeatable
        self.repeatable.clear()


class Mutation:
    """One request's way past all policies."""

    def __init__(self, calling: Calling, attributes: Attributes, obj: Any, old: Any, again: Reinvocation) -> None:
        self._calling = calling
        self._attributes = attributes
        self._obj = obj
        self._subject = calling.subject(attributes, obj, old, pending=True)
        self._again = again
        self._kept: _Round = again.kept.setdefault(NAME, _Round())
        self._faults: list[tuple[Policy, Any, str]] = []

    async def run(self, policies: Sequence[Policy]) -> None:
        """Raises StatusError."""
        if self._again.again and codec.encode(self._obj) != self._kept.output:
            self._kept.changed()
        for policy in policies:
            for call in shared.calls(policy, self._subject, self._calling):
                if isinstance(call, Fault):
                    self._faults.append((call.policy, call.binding, call.why))
                else:
                    await self._call(call)
        self._kept.output = codec.encode(self._obj)
        faults = [fault for fault in self._faults if fault[0].definition.spec.failurePolicy != "Ignore"]
        if faults:
            raise self._refused(faults)

    async def _call(self, call: Call) -> None:
        expressions: Compiled = call.policy.compiled
        about = shared.scope(call, self._subject, self._calling)
        try:
            if not await conditions.matches(expressions.conditions, about):
                return
        except conditions.ConditionError as error:
            self._faults.append((call.policy, call.binding, str(error)))
            return
        if self._again.again and call.key not in self._kept.repeat:
            return
        changed = False
        for index in range(len(expressions.main)):
            if self._obj is None:
                break
            kind = NO_ERROR
            try:
                changed |= await self._mutate(call, index)
            except (cel.EvaluationError, cel.BudgetExceeded, patches.PatchError) as error:
                self._faults.append((call.policy, call.binding, str(error)))
                kind = OUT_OF_BUDGET if isinstance(error, cel.BudgetExceeded) else INVALID_ERROR
                kind = COMPILE_ERROR if expressions.main[index].program is None else kind
            self._calling.meters.mutated(call.policy.name, call.binding.metadata.name, kind)
        if changed:
            self._kept.changed()
            self._again.needed = True
        if call.policy.definition.spec.reinvocationPolicy == "IfNeeded":
            self._kept.repeatable.add(call.key)

    async def _mutate(self, call: Call, index: int) -> bool:
        """One mutation, on what those before it have left; whether anything is different."""
        expressions: Compiled = call.policy.compiled
        # Anew for each: the object has changed, and the budget is each mutation's own.
        about = shared.scope(call, self._subject, self._calling)
        budget = cel.Budget()
        shared.with_variables(about, expressions, budget)
        value = await shared.evaluated(expressions.main[index], about, budget)
        row = call.invocation.row
        document = about.values["object"]
        given = call.policy.definition.spec.mutations[index]
        if given.patchType == "JSONPatch":
            patched = patches.json_patched(document, value)
        else:
            patched = patches.applied(document, value, row.cls if row is not None else type(self._obj))
        try:
            return self._subject.replace(patched, row)
        except codec.DecodeError as error:
            raise errors.InternalError(str(error)) from error

    def _refused(self, faults: Sequence[tuple[Policy, Any, str]]) -> errors.StatusError:
        texts = [_text(*fault) for fault in faults]
        details = forbidden(self._attributes, self._obj, "").details or meta_v1.StatusDetails()
        details.causes = [meta_v1.StatusCause(message=text) for text in texts]
        return errors.UnknownError(texts[0], details, 403, "Invalid" if faults[0][1] is not None else "Forbidden")


def _text(policy: Policy, binding: Any, why: str) -> str:
    whose = f"policy '{policy.name}'"
    if binding is not None:
        whose += f" with binding '{binding.metadata.name}'"
    return f"{whose} denied request: {why}"
