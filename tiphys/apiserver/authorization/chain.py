"""Authorizers one after the other: the first that says yes or no decides.

Source: Kubernetes docs, "Authorization", authorization modes.
"""

from collections.abc import Sequence

from tiphys.apiserver import rbac
from tiphys.apiserver.rulelists import RuleList, RulesOf
from tiphys.apiserver.seams import Attributes, Authorizer, Decision
from tiphys.machinery import errors
from tiphys.wire.exchange import UserInfo

ALLOWED = Decision(True)


class Union:
    """Asks in order; ``system:masters`` may everything, whatever is configured."""

    def __init__(self, authorizers: Sequence[Authorizer]) -> None:
        #: May be replaced while requests are served, when their configuration has changed.
        self.authorizers = authorizers

    async def authorize(self, user: UserInfo, attributes: Attributes) -> Decision:
        if rbac.MASTERS in user.groups:
            return ALLOWED
        reasons: list[str] = []
        problems: list[str] = []
        for authorizer in self.authorizers:
            decision = await authorizer.authorize(user, attributes)
            if decision.allowed or decision.denied:
                return decision
            if decision.reason:
                reasons.append(decision.reason)
            if decision.error:
                problems.append(decision.error)
        return Decision(False, "\n".join(reasons), error=errors.aggregate(problems) if problems else "")

    async def rules(self, user: UserInfo, namespace: str) -> RuleList:
        """All that the user may do there, as far as the authorizers can tell."""
        found = RuleList()
        if rbac.MASTERS in user.groups:
            found.add_everything()
        for authorizer in self.authorizers:
            if isinstance(authorizer, RulesOf):
                await authorizer.add_rules(user, namespace, found)
            else:
                found.incomplete = True
        return found
