"""One kubelet over the real API server in memory and a CRI runtime without containers."""

import asyncio
import time

from tests.kubelet.conftest import Node, container, eventually, is_ready
from tiphys.api import core_v1
from tiphys.kubelet import nodestatus


async def test_pod_runs_and_is_ready(node: Node) -> None:
    start = time.monotonic()
    await node.create()
    found = await node.until(is_ready)
    print("ready after", time.monotonic() - start)
    assert found.status.phase == "Running"
    assert found.status.podIP and found.status.hostIP == "192.0.2.1"
    [status] = found.status.containerStatuses or []
    assert status.ready and status.started and status.state.running and status.restartCount == 0
    assert (status.containerID or "").startswith("fake://c")
    reasons = [(e.reason, e.message) for e in await node.events()]
    assert reasons == [
        ("Pulled", 'Container image "example.test/box:1" already present on machine and can be accessed by the pod'),
        ("Created", "Container created"),
        ("Started", "Container started"),
    ]


async def test_conditions_and_their_order(node: Node) -> None:
    await node.create()
    found = await node.until(is_ready)
    assert [(c.type, c.status) for c in found.status.conditions or ()] == [
        ("PodReadyToStartContainers", "True"),
        ("Initialized", "True"),
        ("Ready", "True"),
        ("ContainersReady", "True"),
        ("PodScheduled", "True"),
    ]
    assert all(c.observedGeneration == found.metadata.generation for c in found.status.conditions or ())


async def test_pod_is_deleted_after_everything_has_stopped(node: Node) -> None:
    await node.create(terminationGracePeriodSeconds=5)
    found = await node.until(is_ready)
    await node.client.of(core_v1.Pod).delete("web", "default")
    await node.until_gone()
    assert "StopContainer main 5" in node.runtime.calls
    stop = next(i for i, call in enumerate(node.runtime.calls) if call.startswith("StopPodSandbox"))
    assert node.runtime.calls.index("StopContainer main 5") < stop
    assert not node.runtime.sandboxes and not node.runtime.containers
    assert not (node.config.root_dir / "pods" / found.metadata.uid).exists()
    await node.until_event("Killing", "Stopping container main")


async def test_crashed_container_is_restarted_at_once_and_then_waits(node: Node) -> None:
    await node.create()
    await node.until(is_ready)
    node.runtime.exit("main", 1)
    found = await node.until(lambda p: is_ready(p) and p.status.containerStatuses[0].restartCount == 1)
    [status] = found.status.containerStatuses or []
    assert status.lastState.terminated and status.lastState.terminated.exitCode == 1
    assert status.lastState.terminated.reason == "Error"
    node.runtime.exit("main", 1)
    found = await node.until(lambda p: p.status.containerStatuses[0].state.waiting)
    waiting = (found.status.containerStatuses or [])[0].state.waiting
    assert waiting and waiting.reason == "CrashLoopBackOff"
    assert waiting.message == (f"back-off 10s restarting failed container=main pod=web_default({found.metadata.uid})")
    assert found.status.phase == "Running"
    await node.until_event(
        "BackOff", f"Back-off restarting failed container main in pod web_default({found.metadata.uid})"
    )


async def test_pod_that_completes(node: Node) -> None:
    await node.create(restartPolicy="Never")
    await node.until(is_ready)
    node.runtime.exit("main", 0)
    found = await node.until(lambda p: p.status.phase == "Succeeded")
    [status] = found.status.containerStatuses or []
    assert status.state.terminated and status.state.terminated.reason == "Completed"
    ready = next(c for c in found.status.conditions or () if c.type == "Ready")
    assert (ready.status, ready.reason) == ("False", "PodCompleted")
    await eventually(lambda: any(call.startswith("StopPodSandbox") for call in node.runtime.calls))
    assert node.runtime.containers, "its container stays for its log"
    await node.client.of(core_v1.Pod).delete("web", "default", grace_period_seconds=0)
    await eventually(lambda: not node.runtime.containers)


async def test_pod_that_fails(node: Node) -> None:
    await node.create(restartPolicy="Never")
    await node.until(is_ready)
    node.runtime.exit("main", 3)
    found = await node.until(lambda p: p.status.phase == "Failed")
    assert (found.status.containerStatuses or [])[0].state.terminated.exitCode == 3  # type: ignore[union-attr]


async def test_init_containers_run_in_order_before_the_others(node: Node) -> None:
    await node.create(initContainers=[container("first"), container("second")])
    await node.until(lambda p: p.status.initContainerStatuses and p.status.initContainerStatuses[0].state.running)
    found = await node.get()
    waiting = [s.state.waiting.reason for s in found.status.containerStatuses or () if s.state.waiting]
    assert waiting == ["PodInitializing"]
    node.runtime.exit("first", 0)
    await node.until(lambda p: p.status.initContainerStatuses[1].state.running)
    found = await node.get()
    initialized = next(c for c in found.status.conditions or () if c.type == "Initialized")
    assert initialized.reason == "ContainersNotInitialized"
    assert initialized.message == "containers with incomplete status: [second]"
    node.runtime.exit("second", 0)
    await node.until(is_ready)
    started = [call.split()[1] for call in node.runtime.calls if call.startswith("StartContainer")]
    assert started == ["first", "second", "main"]


async def test_sidecar_starts_first_and_stops_last(node: Node) -> None:
    await node.create(initContainers=[container("proxy", restartPolicy="Always")])
    found = await node.until(is_ready)
    assert (found.status.initContainerStatuses or [])[0].ready
    await node.client.of(core_v1.Pod).delete("web", "default")
    await node.until_gone()
    stopped = [call.split()[1] for call in node.runtime.calls if call.startswith("StopContainer")]
    assert stopped == ["main", "proxy"]


async def test_image_that_does_not_exist(node: Node) -> None:
    await node.create(containers=[{"name": "main", "image": "example.test/none:1"}])
    await node.until(
        lambda p: p.status.containerStatuses and p.status.containerStatuses[0].state.waiting.reason == "ErrImagePull"
    )
    found = await node.until(lambda p: p.status.containerStatuses[0].state.waiting.reason == "ImagePullBackOff")
    waiting = (found.status.containerStatuses or [])[0].state.waiting
    assert waiting and (waiting.message or "").startswith(
        'Back-off pulling image "example.test/none:1": ErrImagePull: '
    )
    assert found.status.phase == "Pending"
    await node.until_event("Pulling", 'Pulling image "example.test/none:1"')
    await node.until_event("Failed", "Error: ErrImagePull")
    await node.until_event("BackOff", 'Back-off pulling image "example.test/none:1"')
    await node.client.of(core_v1.Pod).delete("web", "default")
    await node.until_gone()


async def test_config_map_that_is_missing_and_then_comes(node: Node) -> None:
    env = [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "a"}}}]
    await node.create(containers=[container(env=env)])
    found = await node.until(
        lambda p: (
            p.status.containerStatuses
            and p.status.containerStatuses[0].state.waiting.reason == "CreateContainerConfigError"
        )
    )
    assert (found.status.containerStatuses or [])[0].state.waiting.message == 'configmap "cm" not found'  # type: ignore[union-attr]
    await node.until_event("Failed", 'Error: configmap "cm" not found')
    await node.client.resource("", "v1", "configmaps", True).create(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "cm", "namespace": "default"},
            "data": {"a": "1"},
        }
    )
    await node.until(is_ready, seconds=2)
    envs = {e.key: e.value for e in node.runtime.container("main").config.envs}
    assert envs["A"] == "1"


async def test_exec_probes(node: Node) -> None:
    node.runtime.exec_codes["check"] = 1
    probe = {"exec": {"command": ["check"]}, "periodSeconds": 1}
    await node.create(containers=[container(readinessProbe=probe)])
    await node.until(lambda p: p.status.containerStatuses and p.status.containerStatuses[0].started)
    found = await node.get()
    assert not is_ready(found)
    ready = next(c for c in found.status.conditions or () if c.type == "Ready")
    assert (ready.reason, ready.message) == ("ContainersNotReady", "containers with unready status: [main]")
    node.runtime.exec_codes["check"] = 0
    await node.until(is_ready)


async def test_liveness_probe_restarts(node: Node) -> None:
    node.runtime.exec_codes["check"] = 1
    probe = {"exec": {"command": ["check"]}, "periodSeconds": 1, "failureThreshold": 1}
    await node.create(containers=[container(livenessProbe=probe)])
    await node.until(lambda p: p.status.containerStatuses and p.status.containerStatuses[0].restartCount == 1)
    await node.until_event("Unhealthy", "Liveness probe failed: out\n")
    await node.until_event("Killing", "Container main failed liveness probe, will be restarted")


async def test_node_is_registered_and_ready(node: Node) -> None:
    async with asyncio.timeout(3):
        while True:
            found = await node.client.of(core_v1.Node).get("n1")
            conditions = {c.type: c for c in found.status.conditions or ()}
            if conditions and conditions["Ready"].status == "True":
                break
            await asyncio.sleep(0.01)
    assert found.metadata.labels["kubernetes.io/hostname"] == "n1"
    assert (found.status.capacity or {})["cpu"] == "4"
    assert (found.status.allocatable or {})["memory"] == "8092Mi"
    assert conditions["Ready"].message.startswith("kubelet is posting ready status")  # type: ignore[union-attr]
    assert conditions["MemoryPressure"].reason == "KubeletHasSufficientMemory"
    assert found.status.daemonEndpoints.kubeletEndpoint.Port == node.kubelet.server.port
    assert found.status.nodeInfo.kubeletVersion == "v1.36.0"


async def test_too_large_pod_is_refused(node: Node) -> None:
    await node.create(containers=[container(resources={"requests": {"cpu": "5"}})])
    found = await node.until(lambda p: p.status.phase == "Failed")
    assert found.status.reason == "OutOfcpu"
    assert found.status.message == (
        "Pod was rejected: Node didn't have enough resource: cpu, requested: 5000, used: 0, capacity: 4000"
    )


async def test_pod_removed_without_waiting_is_stopped_all_the_same(node: Node) -> None:
    await node.create()
    await node.until(is_ready)
    await node.client.of(core_v1.Pod).delete("web", "default", grace_period_seconds=0)
    await eventually(lambda: not node.runtime.sandboxes)


async def test_command_that_cannot_be_executed(node: Node) -> None:
    node.runtime.refuse_start.add("main")
    await node.create()
    found = await node.until(
        lambda p: (
            p.status.containerStatuses
            and p.status.containerStatuses[0].state.waiting
            and p.status.containerStatuses[0].state.waiting.reason == "CrashLoopBackOff"
        )
    )
    last = (found.status.containerStatuses or [])[0].lastState.terminated
    assert last and (last.exitCode, last.reason) == (128, "StartError")
    await node.until_event("Failed", 'Error: exec: "main": executable file not found in $PATH')


def test_what_is_said_when_conditions_change() -> None:
    def status(memory: str, ready: str) -> list[core_v1.NodeCondition]:
        has = "KubeletHasInsufficientMemory" if memory == "True" else "KubeletHasSufficientMemory"
        is_ready = "KubeletReady" if ready == "True" else "KubeletNotReady"
        return [
            core_v1.NodeCondition(type="MemoryPressure", status=memory, reason=has),
            core_v1.NodeCondition(type="Ready", status=ready, reason=is_ready),
            core_v1.NodeCondition(type="SomebodyElses", status=memory),
        ]

    calm, ready = status("False", "False"), status("False", "True")
    assert nodestatus.changes(calm, ready, first=True) == ["NodeHasSufficientMemory", "NodeReady"]
    assert nodestatus.changes(None, ready, first=True) == ["NodeHasSufficientMemory"]
    assert nodestatus.changes(ready, ready, first=False) == []
    assert nodestatus.changes(ready, status("True", "False"), first=False) == [
        "NodeHasInsufficientMemory",
        "NodeNotReady",
    ]
