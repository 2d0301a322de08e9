"""The kubelet as what it is in a cluster: a node, which may do no more than its Pods need."""

import asyncio
import random
from pathlib import Path

from tests.kubelet.conftest import Node, config_for, container, eventually, is_ready
from tests.kubelet.fake_cri import FakeRuntime
from tiphys.api import core_v1, meta_v1
from tiphys.apiserver import ApiServer, ApiServerConfig, security
from tiphys.base.clock import RealClock
from tiphys.base.ids import Ids
from tiphys.client import Client, InProcessTransport
from tiphys.kubelet.loop import Kubelet
from tiphys.store.memory import MemoryStore
from tiphys.wire.exchange import UserInfo

NODE = UserInfo("system:node:n1", groups=("system:nodes", "system:authenticated"))


async def test_pod_with_everything_runs_with_a_nodes_rights(runtime: FakeRuntime, tmp_path: Path) -> None:
    key = tmp_path / "sa.key"
    key.write_bytes(signing_key())
    seams = security.seams(security.SecurityConfig(service_account_key=str(key)))
    async with ApiServer(ApiServerConfig(), MemoryStore(), seams=seams) as server:
        admin = Client(InProcessTransport(server.handle))
        runtime.network_ready = False
        config = config_for(tmp_path, privileged=False)
        client = Client(InProcessTransport(server.handle, NODE))
        async with asyncio.timeout(10), Kubelet(config, client, RealClock(), Ids(), random.Random(1)) as kubelet:
            node = Node(kubelet, admin, runtime, config)
            await admin.of(core_v1.Node).patch("n1", "", {"spec": {"podCIDR": "10.9.0.0/24"}}, "merge")
            await eventually(lambda: runtime.pod_cidr == "10.9.0.0/24")
            await eventually(kubelet.context.network_ready.is_set)
            await make_objects(admin)
            sources = [
                {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
                {"configMap": {"name": "cm"}},
                {"downwardAPI": {"items": [{"path": "ns", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
            ]
            await node.create(
                serviceAccountName="default",
                volumes=[
                    {"name": "all", "projected": {"sources": sources}},
                    {"name": "s", "secret": {"secretName": "sec"}},
                ],
                containers=[
                    container(volumeMounts=[{"name": "all", "mountPath": "/all"}, {"name": "s", "mountPath": "/s"}])
                ],
            )
            await node.until(is_ready)
            mounts = {m.container_path: Path(m.host_path) for m in runtime.container("main").config.mounts}
            assert (mounts["/all"] / "token").read_text().count(".") == 2
            assert (mounts["/all"] / "ns").read_text() == "default"
            assert (mounts["/s"] / "k").read_bytes() == b"v"
            lease = await admin.resource("coordination.k8s.io", "v1", "leases", True).get("n1", "kube-node-lease")
            assert lease["spec"]["holderIdentity"] == "n1"
            await admin.of(core_v1.Pod).delete("web", "default")
            await node.until_gone()


async def make_objects(admin: Client) -> None:
    meta = meta_v1.ObjectMeta
    account = core_v1.ServiceAccount(metadata=meta(name="default", namespace="default"))
    await admin.of(core_v1.ServiceAccount).create(account)
    for name in ("cm", "kube-root-ca.crt"):
        found = core_v1.ConfigMap(metadata=meta(name=name, namespace="default"), data={"ca.crt": "1"})
        await admin.of(core_v1.ConfigMap).create(found)
    secret = core_v1.Secret(metadata=meta(name="sec", namespace="default"), data={"k": b"v"})
    await admin.of(core_v1.Secret).create(secret)


def signing_key() -> bytes:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(65537, 2048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
