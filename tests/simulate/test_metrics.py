"""What is measured of simulated Pods and nodes, as metrics.k8s.io tells it."""

import json

import pytest

from tests.simulate.test_simulations import simulation
from tests.testing.manifests import pod
from tiphys.machinery import errors
from tiphys.simulation.metrics import Metrics

API = ["metrics.k8s.io", "v1beta1"]


@pytest.fixture
def ask(simulated):
    simulated.start(1)
    metrics = Metrics(simulated.component.nodes)
    return lambda *path, **query: json.loads(metrics.answer([*API, *path], query))


def test_usage_is_what_is_said_and_changes_at_once(simulated, ask):
    simulated.cluster.apply(pod())
    assert ask("pods")["items"] == []
    simulated.cluster.advance_until("pod/a", "Ready", within="10s")
    assert ask("namespaces", "default", "pods", "a")["containers"][0]["usage"] == {"cpu": "1m", "memory": "16384Ki"}
    simulated.cluster.create(simulation(pods={"cpu": "250m", "memory": "1Gi"}))
    simulated.cluster.advance(1)
    found = ask("pods", fieldSelector="metadata.name=a")
    assert found["kind"] == "PodMetricsList"
    assert found["items"][0]["containers"] == [{"name": "c", "usage": {"cpu": "250m", "memory": "1048576Ki"}}]
    assert ask("nodes", "node-1")["usage"]["cpu"] == "350m"


def test_requests_are_the_measure_of_what_is_not_said(simulated, ask):
    resources = {"requests": {"cpu": "2", "memory": "100Mi"}}
    simulated.cluster.apply(pod(containers=[{"name": "c", "image": "x", "resources": resources}]))
    simulated.cluster.advance_until("pod/a", "Ready", within="10s")
    assert ask("pods")["items"][0]["containers"][0]["usage"] == {"cpu": "200m", "memory": "51200Ki"}


def test_selectors_and_what_is_not_there(simulated, ask):
    simulated.cluster.apply(pod())
    simulated.cluster.advance_until("pod/a", "Ready", within="10s")
    assert ask("namespaces", "other", "pods")["items"] == []
    assert ask("pods", labelSelector="no=such")["items"] == []
    assert [n["metadata"]["name"] for n in ask("nodes")["items"]] == ["node-1"]
    with pytest.raises(errors.NotFound):
        ask("nodes", "other")
