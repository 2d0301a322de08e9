"""What may have a say between a decision and its binding.

    reserve ──► permit ──► (wait) ──► pre_bind ──► the binding ──► post_bind
       └──────────┴──────────┴───────────┴──────────────┴─ fails ─► unreserve, in reverse order

``reserve`` and ``permit`` are part of the decision: they answer at once, and the next
decision sees what they have done. The rest runs beside other decisions.
Source: Kubernetes docs, "Scheduling Framework", "Extension points".
"""

from collections.abc import Callable
from dataclasses import dataclass

from tiphys.api import core_v1
from tiphys.scheduler.pods import PodInfo

#: The longest that a Pod may be made to wait, whatever a plugin asks for.
WAIT_SECONDS_MAX = 15 * 60.0
Wanted = Callable[[], bool]


class Rejected(Exception):
    """A plugin does not let the Pod have the node; the text is its reason."""

    def __init__(self, plugin: str, reason: str) -> None:
        super().__init__(reason)
        self.plugin = plugin


class HookFailed(Exception):
    """A plugin could not do its part; the Pod is tried again after a pause."""


@dataclass(frozen=True, slots=True)
class Wait:
    """The Pod is to wait until it is allowed or rejected by name; after ``seconds`` it is rejected."""

    seconds: float


class Hook:
    """Base of all; does nothing. Belongs to a profile."""

    name = ""

    def concerns(self, info: PodInfo) -> bool:
        """False for Pods that none of the other methods needs to hear of."""
        return True

    def reserve(self, info: PodInfo, node: core_v1.Node) -> None:
        """Set aside what the Pod needs. Raises Rejected, and has then set aside nothing."""

    def unreserve(self, info: PodInfo, node: core_v1.Node) -> None:
        """Give it back; harmless where nothing was set aside."""

    def permit(self, info: PodInfo, node: core_v1.Node) -> Wait | None:
        """None to let it go on. Raises Rejected."""
        return None

    async def pre_bind(self, info: PodInfo, node: core_v1.Node, wanted: Wanted) -> None:
        """Do what must be done before; return early once the Pod is not ``wanted`` any more.

        Raises Rejected, HookFailed, and what requests raise.
        """

    async def post_bind(self, info: PodInfo, node: core_v1.Node) -> None:
        """The Pod has the node."""
