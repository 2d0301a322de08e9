"""matchConditions of webhooks: expressions in CEL that say which requests a webhook wants to see.

Source: Kubernetes docs, "Dynamic Admission Control", "Matching requests: matchConditions"; KEP-3716.
"""

from typing import Any, Final

from tiphys.apiserver.admission.plugin import Tools
from tiphys.apiserver.webhooks import review
from tiphys.apiserver.webhooks.matching import Invocation
from tiphys.apiserver.webhooks.source import Hook
from tiphys.apiserver.webhooks.subject import Subject
from tiphys.machinery import codec, errors

REVIEWED: Final = ("object", "oldObject")


class Conditions:
    """Compiles a webhook's conditions when they are first asked, and keeps them with the webhook."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    async def hold(self, hook: Hook, invocation: Invocation, subject: Subject) -> bool:
        """Whether all hold. Raises Forbidden if one cannot be evaluated and the webhook does not ignore failures."""
        # Late: the expression language is only loaded where there are expressions.
        from tiphys.apiserver.policies import conditions  # noqa: PLC0415

        if hook.conditions is None:
            hook.conditions = conditions.compile_conditions(hook.webhook.matchConditions)
        about = conditions.variables(self._variables(invocation, subject), subject.attributes.user, self._tools)
        try:
            return await conditions.matches(hook.conditions, about)
        except conditions.ConditionError as problem:
            if hook.webhook.failurePolicy == "Ignore":
                return False
            attributes = subject.attributes
            raise errors.Forbidden(attributes.resource, subject.name, str(problem), attributes.group) from problem

    def _variables(self, invocation: Invocation, subject: Subject) -> dict[str, Any]:
        request = review.request(invocation, subject)
        for name in REVIEWED:
            request.pop(name)
        return {
            "object": codec.decode_builtins(subject.new(invocation.row)),
            "oldObject": codec.decode_builtins(subject.before(invocation.row)),
            "request": request,
        }
