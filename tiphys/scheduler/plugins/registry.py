"""All plugins, in the order in which they filter, which is the order in which reasons are given."""

from tiphys.scheduler.plugins.interface import Plugin
from tiphys.scheduler.plugins.node_affinity import NodeAffinity, PreferredNodeAffinity
from tiphys.scheduler.plugins.node_ports import NodePorts
from tiphys.scheduler.plugins.node_resources import NodeResourcesBalancedAllocation, NodeResourcesFit
from tiphys.scheduler.plugins.node_unschedulable import NodeUnschedulable
from tiphys.scheduler.plugins.taint_toleration import TaintToleration

#: PodTopologySpread is made per class of Pods; see ``classes.py``.
PLUGINS: tuple[Plugin, ...] = (
    NodeUnschedulable(),
    TaintToleration(),
    NodeAffinity(),
    PreferredNodeAffinity(),
    NodePorts(),
    NodeResourcesFit(),
    NodeResourcesBalancedAllocation(),
)
