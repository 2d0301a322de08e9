"""Values for expressions, of one request: the objects, the request itself, and who may do what.

Whether somebody may do something can take time to find out, and expressions do
not wait: an expression that asks something new stops, the answer is found, and
it runs again. At most two questions are paid for by an expression's budget.
"""

from collections.abc import Mapping
from typing import Any

from tiphys.apiserver.admission.plugin import Tools
from tiphys.apiserver.seams import Attributes
from tiphys.machinery import cel
from tiphys.machinery.cel.library.authorization import Answer, Authorizer, Question, ResourceCheck, Undecided
from tiphys.wire.exchange import UserInfo

#: More questions in one expression cost more than one may.
_ROUNDS_MAX = 16


class Scope:
    """See the module. ``values`` are by variable's name."""

    def __init__(self, values: Mapping[str, Any], user: UserInfo, tools: Tools) -> None:
        self._user = user
        self._tools = tools
        self._answers: dict[Question, Answer] = {}
        request = values.get("request") or {}
        self.values: dict[str, Any] = {
            "namespaceObject": None,
            "params": None,
            **values,
            "authorizer": Authorizer(self._ask),
            "authorizer.requestResource": ResourceCheck(self._ask, _about(request)),
        }

    def _ask(self, question: Question) -> Answer:
        found = self._answers.get(question)
        if found is None:
            raise Undecided(question)
        return found

    async def evaluate(self, program: cel.Program, budget: cel.Budget, more: Mapping[str, Any] | None = None) -> Any:
        """As ``Program.evaluate``."""
        values = {**self.values, **more} if more else self.values
        for _ in range(_ROUNDS_MAX):
            left = budget.remaining
            try:
                return program.evaluate(values, budget)
            except Undecided as stopped:
                budget.remaining = left
                self._answers[stopped.question] = await self._decided(stopped.question)
        raise cel.CostExceeded

    async def _decided(self, question: Question) -> Answer:
        user = self._user if question.account is None else _account(*question.account)
        decision = await self._tools.authorizer.authorize(user, _attributes(question, user))
        return Answer(decision.allowed, decision.reason, decision.error)


def _about(request: Mapping[str, Any]) -> Question:
    resource = request.get("requestResource") or request.get("resource") or {}
    return Question(
        group=resource.get("group", ""),
        resource=resource.get("resource", ""),
        subresource=request.get("requestSubResource", ""),
        namespace=request.get("namespace", ""),
        name=request.get("name", ""),
    )


def _account(namespace: str, name: str) -> UserInfo:
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
    return UserInfo(f"system:serviceaccount:{namespace}:{name}", groups=groups)


def _attributes(question: Question, user: UserInfo) -> Attributes:
    return Attributes(
        verb=question.verb,
        path=question.path,
        user=user,
        is_resource_request=not question.path,
        group=question.group,
        version="*",
        resource=question.resource,
        subresource=question.subresource,
        namespace=question.namespace,
        name=question.name,
        field_selector=question.field_selector,
        label_selector=question.label_selector,
    )
