"""What a plugin is: a column of yes and no, a column of points, or both.

Plugins work on rows of the node table, so that a result computed once for a
class of Pods can be repaired where nodes changed. A plugin whose answer for one
node depends on other nodes (spreading, Pod affinity) is asked anew for each Pod,
with all rows.
"""

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tiphys.scheduler.events import ClusterEvent, NodeChanged
from tiphys.scheduler.nodes import Bools, Ints, NodeTable
from tiphys.scheduler.pods import PodInfo

Rows = npt.NDArray[np.intp]
MAX_SCORE = 100


class Plugin:
    """Base of all plugins; a filter overrides ``filter`` and ``reasons``, a score ``score``.

    An instance belongs to a profile, which may set ``filters`` and ``weight``.
    """

    name = ""
    #: What makes its column outdated: node objects, what Pods take, or the placement of any Pod anywhere.
    reads: Literal["facts", "usage", "placement"] = "facts"
    filters = False
    #: 0 for a plugin that does not score.
    weight = 0
    #: Kinds of events after which a Pod that this filter refused may pass.
    wakes: tuple[type[ClusterEvent], ...] = (NodeChanged,)
    #: Evicting Pods would not help where this filter says no.
    unresolvable = True

    def applies(self, info: PodInfo) -> bool:
        """False where the plugin has nothing to say for such a Pod: it is then left out."""
        return True

    def for_class(self, info: PodInfo, nodes: NodeTable) -> "Plugin | None":
        """What speaks for all Pods like this one; None if there is nothing to say."""
        return self if self.applies(info) else None

    def class_part(self, info: PodInfo) -> Any:
        """What must be equal, beyond what is anyway, for two Pods to share results."""
        return None

    def refusal(self, info: PodInfo) -> str:
        """Why the Pod can go nowhere at all, whatever the nodes; empty if that is not so."""
        return ""

    def filter(self, info: PodInfo, nodes: NodeTable, rows: Rows) -> Bools:
        """For each of ``rows``, whether the Pod may go there."""
        raise NotImplementedError

    def reasons(self, info: PodInfo, nodes: NodeTable, row: int) -> list[str]:
        """Why not, for a row that ``filter`` refused."""
        raise NotImplementedError

    def is_unresolvable(self, info: PodInfo, nodes: NodeTable, row: int) -> bool:
        """Whether evicting Pods would not help on a row that ``filter`` refused."""
        return self.unresolvable

    def is_idle(self, info: PodInfo, nodes: NodeTable) -> bool:
        """Whether the filter has no objection to any node as things are: it need not be asked."""
        return False

    def alike(self, rows: Rows) -> Iterator[Rows]:
        """Refused ``rows`` in groups that have the same reasons."""
        return (rows[number : number + 1] for number in range(len(rows)))

    def helped_by(self, info: PodInfo, event: ClusterEvent) -> bool:
        """Whether a Pod that this filter refused may pass after an event of ``wakes``. When in doubt, yes."""
        return True

    def score(self, info: PodInfo, nodes: NodeTable, rows: Rows) -> Ints:
        """Points for each of ``rows``, higher is better; 0 to 100 unless ``normalized`` brings them there."""
        raise NotImplementedError

    def normalized(self, scores: Ints) -> Ints | None:
        """Scores of the feasible rows brought to 0 to 100; None if all would be equal."""
        return scores


def scaled(scores: Ints, reverse: bool) -> Ints | None:
    """The highest becomes 100, all others in proportion; reversed, the lowest is best."""
    highest = int(scores.max(initial=0))
    if highest == 0:
        return None
    points = scores * MAX_SCORE // highest
    return MAX_SCORE - points if reverse else points


def grouped(rows: Rows, verdicts: Ints) -> Iterator[Rows]:
    """``rows`` by their number in ``verdicts``."""
    found = verdicts[rows]
    return (rows[found == verdict] for verdict in np.unique(found).tolist())
