"""Simulations in a cluster: what they say holds at once, for Pods that run as well."""

import pytest

from tests.testing.manifests import deployment, pod


def simulation(name="s", **spec):
    return {"apiVersion": "sim.tiphys.dev/v1", "kind": "Simulation", "metadata": {"name": name}, "spec": spec}


def said(simulated, name="s"):
    client = simulated.cluster.client().resource("sim.tiphys.dev", "v1", "simulations", False)
    return simulated.cluster.run(client.get(name))


def test_nodes_become_ready_and_run_pods(simulated):
    simulated.start(3)
    nodes = simulated.cluster.list("nodes")
    assert [n.metadata.name for n in nodes] == ["node-1", "node-2", "node-3"]
    assert all(n.metadata.labels["sim.tiphys.dev/node"] == "true" for n in nodes)
    simulated.cluster.apply(deployment(5))
    simulated.cluster.advance_until("deployment/web", "Available", within="10s")


def test_a_running_container_ends_as_said_later(simulated):
    simulated.start()
    simulated.cluster.apply(pod())
    simulated.cluster.advance_until("pod/a", "Ready", within="10s")
    simulated.cluster.advance(30)
    simulated.cluster.apply(simulation(pods={"runSeconds": 40, "exitCodes": [3]}))
    simulated.cluster.advance(8)
    assert simulated.cluster.get("pod/a").status.containerStatuses[0].state.running
    simulated.cluster.advance(4)
    state = simulated.cluster.get("pod/a").status.containerStatuses[0]
    assert (state.state.terminated or state.lastState.terminated).exitCode == 3


def test_readiness_follows_and_comes_back(simulated):
    simulated.start()
    simulated.cluster.apply(pod())
    simulated.cluster.advance_until("pod/a", "Ready", within="10s")
    simulated.cluster.apply(simulation(pods={"readyAfterSeconds": 100}))
    simulated.cluster.advance_until("pod/a", "Ready=False", within="3s")
    assert simulated.cluster.get("pod/a").spec.containers[0].readinessProbe is None
    client = simulated.cluster.client().resource("sim.tiphys.dev", "v1", "simulations", False)
    simulated.cluster.run(client.delete("s"))
    simulated.cluster.advance_until("pod/a", "Ready", within="3s")


def test_annotations_of_the_pod_win_and_may_change(simulated):
    simulated.start()
    simulated.cluster.create(simulation(pods={"startSeconds": 50}))
    simulated.cluster.advance(1)
    simulated.cluster.apply(pod("slow"))
    simulated.cluster.apply(pod("fast", annotations={"sim.tiphys.dev/start-seconds": "1"}))
    simulated.cluster.advance_until("pod/fast", "Ready", within="5s")
    assert simulated.cluster.get("pod/slow").status.phase == "Pending"
    crash = {"metadata": {"annotations": {"sim.tiphys.dev/run-seconds": "10"}}}
    simulated.cluster.patch("pod/fast", crash)
    simulated.cluster.advance_until(
        "pod/fast", lambda p: p.status.containerStatuses[0].state.running is None, within="12s"
    )


def test_status_counts_what_matches_and_says_what_is_not_understood(simulated):
    simulated.start(2)
    simulated.cluster.apply(deployment(3))
    simulated.cluster.apply(pod("other"))
    simulated.cluster.create(simulation(pods={"selector": {"matchLabels": {"app": "web"}}, "cpu": "many"}))
    simulated.cluster.advance(5)
    status = said(simulated)["status"]
    assert status["matchingPods"] == 3
    assert status["observedGeneration"] == 1
    assert status["message"] == "spec.pods.cpu: 'many' is not a quantity"
    simulated.cluster.scale("deployment/web", 4)
    simulated.cluster.advance(5)
    assert said(simulated)["status"]["matchingPods"] == 4


def test_nodes_fail_at_a_time_and_for_a_time(simulated):
    simulated.start(2)
    only = {"matchLabels": {"kubernetes.io/hostname": "node-2"}}
    failures = [{"afterSeconds": 20, "forSeconds": 120}]
    simulated.cluster.create(simulation(nodes={"selector": only, "failures": failures}))
    simulated.cluster.advance(15)
    assert simulated.cluster.find("node/node-2").status.conditions[-1].status == "True"
    simulated.cluster.advance(10)
    assert said(simulated)["status"]["matchingNodes"] == 1
    assert said(simulated)["status"]["failedNodes"] == 1
    simulated.cluster.advance_until("node/node-2", "Ready=Unknown", within="80s")
    assert next(c for c in simulated.cluster.get("node/node-1").status.conditions if c.type == "Ready").status == "True"
    simulated.cluster.advance_until("node/node-2", "Ready", within="80s")
    assert said(simulated)["status"].get("failedNodes", 0) == 0


def test_a_node_whose_annotation_says_so_is_down(simulated):
    simulated.start(1)
    simulated.cluster.patch("node/node-1", {"metadata": {"annotations": {"sim.tiphys.dev/down": "true"}}})
    simulated.cluster.advance_until("node/node-1", "Ready=Unknown", within="80s")
    simulated.cluster.patch("node/node-1", {"metadata": {"annotations": {"sim.tiphys.dev/down": None}}})
    simulated.cluster.advance_until("node/node-1", "Ready", within="20s")


@pytest.mark.parametrize("fields", [{"fail": "never"}, {"exitCodes": [256]}, {"exitCodes": "1"}])
def test_the_schema_refuses_what_cannot_be(simulated, fields):
    simulated.start(1)
    with pytest.raises(Exception, match=r"is invalid: spec\.pods"):
        simulated.cluster.create(simulation(pods=fields))


def test_a_smaller_cluster_loses_its_surplus_nodes(simulated):
    simulated.start(3)
    simulated.stop()
    simulated.start(1)
    assert [n.metadata.name for n in simulated.cluster.list("nodes")] == ["node-1"]


def test_beside_real_nodes_only_pods_that_tolerate_it_come(simulated):
    simulated.start(1, name_prefix="simulated-", taints=("sim.tiphys.dev/node",))
    simulated.cluster.apply(pod("no"))
    simulated.cluster.apply(pod("yes", tolerations=[{"key": "sim.tiphys.dev/node", "operator": "Exists"}]))
    simulated.cluster.advance_until("pod/yes", "Ready", within="10s")
    assert simulated.cluster.get("pod/yes").spec.nodeName == "simulated-1"
    assert not simulated.cluster.get("pod/no").spec.nodeName


@pytest.mark.parametrize(("patience", "statuses"), [(0.0, 3), (1.0, 1)])
def test_many_nodes_write_a_starting_pod_once(simulated, patience, statuses):
    simulated.start(1, patience_seconds=patience)
    simulated.cluster.apply(pod())
    simulated.cluster.advance_until("pod/a", "Ready", within="5s")
    changes = [line for line in simulated.cluster.history() if "/registry/pods/default/a" in str(line)]
    # Besides its creation and binding.
    assert len(changes) == 2 + statuses


def test_a_pod_that_cannot_start_says_so_all_the_same(simulated):
    simulated.start(1, patience_seconds=1.0)
    simulated.cluster.apply(pod(annotations={"sim.tiphys.dev/fail": "image"}))
    found = simulated.cluster.advance_until("pod/a", lambda p: bool(p.status.containerStatuses), within=0.9)
    assert found.status.containerStatuses[0].state.waiting.reason in ("ErrImagePull", "ImagePullBackOff")


def test_a_deleted_node_stays_away_until_it_is_made_anew(simulated):
    simulated.start(1)
    simulated.cluster.delete("node/node-1")
    simulated.cluster.advance(60)
    assert simulated.cluster.find("node/node-1") is None
    assert simulated.cluster.find("lease/kube-node-lease/node-1") is None
    simulated.cluster.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"}})
    simulated.cluster.advance_until("node/node-1", "Ready", within="20s")
