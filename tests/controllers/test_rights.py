"""What the controllers do is allowed to the identity they run under, by the bootstrap policy alone."""

from tests.controllers.cluster import Cluster, deployment
from tiphys.api import apps_v1, core_v1, discovery_v1, meta_v1
from tiphys.apiserver.security import seams
from tiphys.controllers.config import Config
from tiphys.wire.exchange import UserInfo

MANAGER = UserInfo("system:kube-controller-manager", groups=("system:authenticated",))


async def test_every_controller_may_do_its_work(caplog) -> None:
    config = Config(cluster_cidrs=("10.244.0.0/16",))
    async with Cluster(config, user=MANAGER, seams=seams()) as cluster:
        await cluster.create(core_v1.Namespace(metadata=meta_v1.ObjectMeta(name="team")))
        await cluster.create(core_v1.Node(metadata=meta_v1.ObjectMeta(name="n1")))
        body = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
        await cluster.client.of(core_v1.Node).patch("n1", "", body, "strategic", subresource="status")
        ports = [core_v1.ServicePort(port=80)]
        spec = core_v1.ServiceSpec(selector={"app": "web"}, clusterIP="10.96.0.50", ports=ports)
        service = core_v1.Service(metadata=meta_v1.ObjectMeta(name="web", namespace="default"), spec=spec)
        await cluster.create(service)
        await cluster.until(
            lambda: any(a.metadata.namespace == "default" for a in cluster.all(core_v1.ServiceAccount)),
            core_v1.ServiceAccount,
        )
        await cluster.create(deployment(replicas=2))
        pods = await cluster.until(lambda: len(found := cluster.all(core_v1.Pod)) == 2 and found, core_v1.Pod)
        await cluster.mark_ready(*pods)
        await cluster.until(
            lambda: any(d.status.availableReplicas == 2 for d in cluster.all(apps_v1.Deployment)), apps_v1.Deployment
        )
        await cluster.until(
            lambda: any(len(s.endpoints or ()) == 2 for s in cluster.all(discovery_v1.EndpointSlice)),
            discovery_v1.EndpointSlice,
        )
        await cluster.until(lambda: any(n.spec.podCIDR for n in cluster.all(core_v1.Node)), core_v1.Node)
        await cluster.client.of(apps_v1.Deployment).delete("web", "default", propagation="Foreground")
        await cluster.until(lambda: not cluster.all(core_v1.Pod), core_v1.Pod)
        await cluster.until(lambda: not cluster.all(apps_v1.Deployment), apps_v1.Deployment)
        await cluster.client.of(core_v1.Namespace).delete("team")
        await cluster.until(
            lambda: not any(n.metadata.name == "team" for n in cluster.all(core_v1.Namespace)), core_v1.Namespace
        )
    assert [record.getMessage() for record in caplog.records if "forbidden" in record.getMessage()] == []
