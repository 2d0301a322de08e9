"""Disorder by chance, then peace: once faults stop, spec and status agree within a bounded time."""

import random

import pytest

from tests.testing.manifests import deployment
from tiphys.testing import Cluster


@pytest.mark.parametrize("seed", range(6))
def test_after_the_storm(seed):
    chance = random.Random(seed)
    with Cluster(nodes=3, seed=seed) as cluster:
        cluster.apply(deployment(6))
        down = ""
        for _ in range(12):
            match chance.randrange(8):
                case 0:
                    cluster.inject(chance.choice([409, 429, 500, 503]), times=chance.randrange(1, 6))
                case 1:
                    cluster.inject(after=chance.random() < 0.5, times=chance.randrange(1, 4))
                case 2:
                    cluster.faults.cut_watches(chance.choice(["", "pods", "replicasets"]))
                case 3 if not down:
                    down = f"node-{chance.randrange(1, 4)}"
                    cluster.fail_node(down)
                case 4:
                    cluster.restart(chance.choice(["apiserver", "controllers"]))
                case 5:
                    cluster.faults.partition(chance.choice(["controllers", "scheduler", "node-1"]))
                case 6:
                    cluster.inject(delay_seconds=chance.random() * 10, times=chance.randrange(1, 4))
                case _:
                    cluster.faults.clear()
                    cluster.scale("deployment/web", chance.randrange(1, 9))
            cluster.advance(chance.random() * 60)
        cluster.faults.clear()
        if down:
            cluster.recover_node(down)
        cluster.apply(deployment(5, image="nginx:9"))
        cluster.advance("15m")
        found = cluster.get("deployment/web")
        assert (found.status.readyReplicas, found.status.updatedReplicas, found.status.replicas) == (5, 5, 5)
        pods = cluster.list("pods")
        assert {p.spec.containers[0].image for p in pods} == {"nginx:9"}
        assert len(pods) == 5
