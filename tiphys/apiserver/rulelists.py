"""What a user may do, listed: the answer to SelfSubjectRulesReview."""

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from tiphys.api import authorization_v1
from tiphys.wire.exchange import UserInfo


@dataclass(slots=True)
class RuleList:
    """Rules gathered from several authorizers; ``incomplete`` where one cannot list what it would allow."""

    resources: list[authorization_v1.ResourceRule] = field(default_factory=list)
    paths: list[authorization_v1.NonResourceRule] = field(default_factory=list)
    incomplete: bool = False
    problems: list[str] = field(default_factory=list)

    def add_everything(self) -> None:
        self.resources.append(authorization_v1.ResourceRule(verbs=["*"], apiGroups=["*"], resources=["*"]))
        self.paths.append(authorization_v1.NonResourceRule(verbs=["*"], nonResourceURLs=["*"]))


@runtime_checkable
class RulesOf(Protocol):
    """An authorizer that can list."""

    async def add_rules(self, user: UserInfo, namespace: str, found: RuleList) -> None:
        """Add what ``user`` may do in ``namespace`` to ``found``."""
