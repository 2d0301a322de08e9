"""The same seed gives the same history, byte for byte, whatever the hash seed; another seed gives another."""

import hashlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

SCENARIO = """
import hashlib
from tests.testing.manifests import cron_job, deployment, job
from tests.testing.test_custom import CRD, DATABASE, configuration
from tiphys.testing import Cluster
import sys

CLAIM = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": {
    "accessModes": ["ReadWriteOnce"], "storageClassName": "local-path", "resources": {"requests": {"storage": "1Gi"}}}}
MOUNTS = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "mounts"}, "spec": {
    "containers": [{"name": "c", "image": "nginx:1", "volumeMounts": [{"name": "d", "mountPath": "/d"}]}],
    "volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]}}

with Cluster(nodes=3, seed=int(sys.argv[1])) as cluster:
    cluster.apply(deployment(5), cron_job("*/5 * * * *"), job(completions=4, parallelism=2))
    cluster.webhook(lambda request: "no" if request.name == "refused" else None, "hooks", "/check")
    cluster.apply(configuration("Validating"), CRD, DATABASE, CLAIM, MOUNTS)
    cluster.advance("7m")
    cluster.patch("database/main", {"spec": {"size": 7}})
    cluster.delete("database/main")
    cluster.apply(deployment(5, image="nginx:2"))
    cluster.fail_node("node-2")
    cluster.inject(409, resource="replicasets", times=2)
    cluster.faults.cut_watches("pods")
    cluster.advance("12m")
    cluster.delete("deployment/web")
    cluster.advance("2m")
    history = cluster.history()
print(len(history), hashlib.sha256("\\n".join(history).encode()).hexdigest())
"""


def history(seed: int, hash_seed: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "TZ": "UTC" if hash_seed == "1" else "Asia/Tokyo"}
    done = subprocess.run(
        [sys.executable, "-c", SCENARIO, str(seed)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_history_hangs_on_the_seed_alone():
    with ThreadPoolExecutor() as pool:
        first, again, other = pool.map(history, (7, 7, 8), ("1", "4321", "1"))
    assert int(first.split()[0]) > 300
    assert again == first
    assert other != first


def test_a_second_cluster_of_a_process_is_as_the_first():
    from tests.testing.manifests import deployment
    from tiphys.testing import Cluster

    def once() -> str:
        with Cluster(nodes=2, seed=3) as cluster:
            cluster.apply(deployment(4))
            cluster.advance("3m")
            return hashlib.sha256("\n".join(cluster.history()).encode()).hexdigest()

    assert once() == once()
