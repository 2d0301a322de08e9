"""All plugins, in the order in which they filter, which is the order in which reasons are given."""

from collections.abc import Callable, Sequence

from tiphys.scheduler.plugins.dynamic_resources import Devices, DynamicResources
from tiphys.scheduler.plugins.image_locality import ImageLocality
from tiphys.scheduler.plugins.inter_pod_affinity import InterPodAffinity
from tiphys.scheduler.plugins.interface import Plugin
from tiphys.scheduler.plugins.node_affinity import NodeAffinity, PreferredNodeAffinity
from tiphys.scheduler.plugins.node_ports import NodePorts
from tiphys.scheduler.plugins.node_resources import NodeResourcesBalancedAllocation, NodeResourcesFit
from tiphys.scheduler.plugins.node_unschedulable import NodeUnschedulable
from tiphys.scheduler.plugins.node_volume_limits import NodeVolumeLimits
from tiphys.scheduler.plugins.pod_topology_spread import Groups, PodTopologySpread
from tiphys.scheduler.plugins.taint_toleration import TaintToleration
from tiphys.scheduler.plugins.volume_binding import VolumeBinding, Volumes
from tiphys.scheduler.plugins.volume_restrictions import OncePerClaim, VolumeRestrictions
from tiphys.scheduler.plugins.volume_zone import VolumeZone

#: One row per plugin; some have two, since few Pods need the second.
PLUGINS: tuple[Callable[[], Plugin], ...] = (
    NodeUnschedulable,
    TaintToleration,
    NodeAffinity,
    PreferredNodeAffinity,
    NodePorts,
    NodeResourcesFit,
    VolumeRestrictions,
    OncePerClaim,
    NodeVolumeLimits,
    VolumeBinding,
    VolumeZone,
    PodTopologySpread,
    InterPodAffinity,
    DynamicResources,
    NodeResourcesBalancedAllocation,
    ImageLocality,
)
#: Those that are told what volumes there are.
OVER_VOLUMES = (OncePerClaim, NodeVolumeLimits, VolumeBinding, VolumeZone)
#: Names that configurations may mention though nothing stands behind them here: what they do, others do.
BUILT_IN = frozenset(
    {
        "DefaultBinder",
        "DefaultPreemption",
        "NodeDeclaredFeatures",
        "NodeName",
        "PrioritySort",
        "SchedulingGates",
    }
)


def default_plugins(
    groups: Groups | None = None, volumes: Volumes | None = None, devices: Devices | None = None
) -> Sequence[Plugin]:
    """All plugins as they are without configuration."""

    def made(plugin: Callable[[], Plugin]) -> Plugin:
        if plugin is PodTopologySpread:
            return PodTopologySpread(groups)
        if plugin is DynamicResources:
            return DynamicResources(devices)
        return plugin(volumes) if plugin in OVER_VOLUMES else plugin()

    return [made(plugin) for plugin in PLUGINS]
