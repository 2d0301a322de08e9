"""What simulated Pods do, by their annotations."""

import pytest

from tests.testing.manifests import pod
from tiphys.simulation import behaviour


def test_a_pod_runs_and_is_ready_after_its_start(cluster):
    cluster.apply(pod(annotations={"sim.tiphys.dev/start-seconds": "20"}))
    cluster.advance(19)
    found = cluster.get("pod/a")
    assert found.status.phase == "Pending"
    assert found.status.containerStatuses[0].state.waiting.reason == "ContainerCreating"
    cluster.advance(2)
    found = cluster.get("pod/a")
    assert found.status.phase == "Running"
    assert found.status.podIP.startswith("10.128.")
    assert found.status.containerStatuses[0].ready


@pytest.mark.parametrize(("code", "phase"), [("0", "Succeeded"), ("3", "Failed")])
def test_a_pod_ends_as_told(cluster, code, phase):
    wanted = {"sim.tiphys.dev/run-seconds": "60", "sim.tiphys.dev/exit-code": code}
    cluster.apply(pod(annotations=wanted, restartPolicy="Never"))
    found = cluster.advance_until("pod/a", f"status.phase={phase}", within="70s")
    assert found.status.containerStatuses[0].state.terminated.exitCode == int(code)
    assert 60 < cluster.elapsed < 62


def test_crashes_back_off_longer_and_longer(cluster):
    cluster.apply(pod(annotations={"sim.tiphys.dev/run-seconds": "1", "sim.tiphys.dev/exit-code": "1"}))
    cluster.advance_until("pod/a", lambda p: p.status.containerStatuses[0].restartCount == 1, within="30s")
    # 10, 20, 40, 80 and 160 seconds, then every five minutes.
    cluster.advance("10m")
    status = cluster.get("pod/a").status.containerStatuses[0]
    assert status.restartCount in (6, 7)
    assert status.state.waiting.reason == "CrashLoopBackOff"
    assert cluster.events("pod/a", reason="BackOff")


def test_exit_codes_in_turn(cluster):
    wanted = {"sim.tiphys.dev/run-seconds": "1", "sim.tiphys.dev/exit-code": "1,2,0"}
    cluster.apply(pod(annotations=wanted, restartPolicy="OnFailure"))
    found = cluster.advance_until("pod/a", "status.phase=Succeeded")
    assert found.status.containerStatuses[0].restartCount == 2


def test_readiness_needs_no_probe_of_the_pods_own(cluster):
    wanted = {"sim.tiphys.dev/ready-after-seconds": "30", "sim.tiphys.dev/unready-after-seconds": "90"}
    cluster.apply(pod(annotations=wanted))
    cluster.advance_until("pod/a", "status.phase=Running")
    cluster.advance(25)
    assert not cluster.get("pod/a").status.containerStatuses[0].ready
    cluster.advance_until("pod/a", "Ready", within="10s")
    cluster.advance_until("pod/a", "Ready=False", within="65s")
    assert cluster.get("pod/a").spec.containers[0].readinessProbe is None


def test_an_unhealthy_container_is_restarted(cluster):
    probe = {"httpGet": {"path": "/", "port": 80}, "periodSeconds": 10, "failureThreshold": 3}
    containers = [{"name": "c", "image": "nginx:1", "livenessProbe": probe}]
    cluster.apply(pod(annotations={"sim.tiphys.dev/unhealthy-after-seconds": "300"}, containers=containers))
    cluster.advance(300)
    assert cluster.get("pod/a").status.containerStatuses[0].restartCount == 0
    cluster.advance_until("pod/a", lambda p: p.status.containerStatuses[0].restartCount == 1, within="60s")
    assert [e.message for e in cluster.events("pod/a", reason="Killing")] == [
        "Container c failed liveness probe, will be restarted"
    ]


def test_an_image_that_cannot_be_pulled(cluster):
    cluster.apply(pod(annotations={"sim.tiphys.dev/fail": "image"}))
    cluster.advance("1m")
    found = cluster.get("pod/a").status
    assert found.phase == "Pending"
    assert found.containerStatuses[0].state.waiting.reason == "ImagePullBackOff"


def test_out_of_memory(cluster):
    wanted = {"sim.tiphys.dev/fail": "oom", "sim.tiphys.dev/run-seconds": "5"}
    cluster.apply(pod(annotations=wanted, restartPolicy="Never"))
    found = cluster.advance_until("pod/a", "status.phase=Failed")
    ended = found.status.containerStatuses[0].state.terminated
    assert (ended.reason, ended.exitCode) == ("OOMKilled", 137)


def test_deletion_waits_for_the_process_and_no_longer_than_its_grace(cluster):
    cluster.apply(pod("quick"), pod("slow", annotations={"sim.tiphys.dev/stop-seconds": "forever"}))
    cluster.advance_until("pod/slow", "Ready")
    cluster.advance_until("pod/quick", "Ready")
    begin = cluster.elapsed
    cluster.delete("pod/quick")
    cluster.delete("pod/slow")
    cluster.advance_until("pod/quick", "gone", within="5s")
    cluster.advance(24)
    assert cluster.find("pod/slow") is not None
    cluster.advance_until("pod/slow", "gone", within="10s")
    assert 30 <= cluster.elapsed - begin < 31


def test_init_containers_run_before(cluster):
    init = [{"name": "first", "image": "box:1"}, {"name": "side", "image": "box:1", "restartPolicy": "Always"}]
    wanted = {"first.sim.tiphys.dev/run-seconds": "30"}
    cluster.apply(pod(annotations=wanted, initContainers=init))
    cluster.advance(20)
    assert cluster.get("pod/a").status.containerStatuses[0].state.waiting.reason == "PodInitializing"
    found = cluster.advance_until("pod/a", "Ready", within="30s")
    assert [s.name for s in found.status.initContainerStatuses] == ["first", "side"]
    assert found.status.initContainerStatuses[1].state.running


def test_a_pod_that_does_not_fit_is_refused_by_the_node(cluster):
    resources = {"requests": {"cpu": "100"}}
    containers = [{"name": "c", "image": "nginx:1", "resources": resources}]
    cluster.apply(pod(containers=containers, nodeName="node-1"))
    found = cluster.advance_until("pod/a", "status.phase=Failed", within="10s")
    assert found.status.reason == "OutOfcpu"


def test_annotations_that_say_nothing_are_told(cluster):
    cluster.apply(pod(annotations={"sim.tiphys.dev/run-second": "5"}))
    cluster.advance(1)
    assert cluster.events("pod/a", reason="BadSimulation")
    assert behaviour.problems({"sim.tiphys.dev/run-seconds": "soon"}) == [
        "sim.tiphys.dev/run-seconds: 'soon' is not a number of seconds"
    ]
    assert behaviour.problems({"c.sim.tiphys.dev/fail": "image", "other.dev/fail": "?"}) == []


def test_a_volume_waits_for_its_config_map(cluster):
    volumes = [{"name": "settings", "configMap": {"name": "settings"}}]
    cluster.apply(pod(volumes=volumes))
    cluster.advance("1m")
    assert cluster.get("pod/a").status.phase == "Pending"
    assert cluster.events("pod/a", reason="FailedMount")[0].message == (
        'MountVolume.SetUp failed for volume "settings" : configmap "settings" not found'
    )
    cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}})
    cluster.advance_until("pod/a", "Ready", within="2s")


def test_a_variable_waits_for_its_secret(cluster):
    env = [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "token", "key": "text"}}}]
    cluster.apply(pod(containers=[{"name": "c", "image": "nginx:1", "env": env}]))
    cluster.advance("30s")
    waiting = cluster.get("pod/a").status.containerStatuses[0].state.waiting
    assert (waiting.reason, waiting.message) == ("CreateContainerConfigError", 'secret "token" not found')
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "token"}, "stringData": {"text": "x"}}
    cluster.apply(secret)
    cluster.advance_until("pod/a", "Ready", within="2s")
