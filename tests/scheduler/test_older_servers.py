"""Against a server that does not serve what only some Pods need, the rest goes on."""

from tests.scheduler.test_loop import pod
from tiphys.api import scheduling_v1alpha2
from tiphys.client import Informers
from tiphys.testing.cluster import Cluster


def test_what_is_not_served_keeps_nobody_waiting() -> None:
    with Cluster() as cluster:

        async def synced() -> int:
            async with Informers(cluster.client()) as informers:
                groups = informers.of(scheduling_v1alpha2.PodGroup)
                await informers.wait_synced()
                return len(groups)

        assert cluster.run(synced()) == 0
        cluster.apply(pod("p"))
        assert cluster.get("pod/p").spec.nodeName == "node-1"
