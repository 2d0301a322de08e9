"""Authorizers that look at nothing.

Source: Kubernetes docs, "Authorization", AlwaysAllow and AlwaysDeny.
"""

from tiphys.apiserver.rulelists import RuleList
from tiphys.apiserver.seams import Attributes, Decision
from tiphys.wire.exchange import UserInfo


class AlwaysAllow:
    async def authorize(self, user: UserInfo, attributes: Attributes) -> Decision:
        return Decision(True)

    async def add_rules(self, user: UserInfo, namespace: str, found: RuleList) -> None:
        found.add_everything()


class AlwaysDeny:
    """Has no opinion, as Kubernetes' has none: what else is configured may still allow."""

    async def authorize(self, user: UserInfo, attributes: Attributes) -> Decision:
        return Decision(False, "Everything is forbidden.")

    async def add_rules(self, user: UserInfo, namespace: str, found: RuleList) -> None:
        return
