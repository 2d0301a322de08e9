"""The face that tests see."""

import pytest

from tests.testing.manifests import deployment, pod
from tiphys.api import core_v1, meta_v1
from tiphys.machinery import errors
from tiphys.testing import Cluster
from tiphys.testing.expect import is_so
from tiphys.testing.manifests import documents, seconds


@pytest.mark.parametrize(
    ("given", "wanted"), [(5, 5.0), ("90s", 90.0), ("5m", 300.0), ("1h30m", 5400.0), ("30d", 2592000.0), ("1.5m", 90.0)]
)
def test_times(given, wanted):
    assert seconds(given) == wanted


@pytest.mark.parametrize("given", ["", "5", "m", "5 minutes", "m5"])
def test_what_is_no_time(given):
    with pytest.raises(ValueError, match="is not a time"):
        seconds(given)


def test_manifests_of_all_kinds(tmp_path):
    text = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: b}\n"
    (tmp_path / "two.yaml").write_text(text)
    struct = core_v1.Pod(metadata=meta_v1.ObjectMeta(name="c"))
    listed = {"apiVersion": "v1", "kind": "List", "items": [pod("d"), pod("e")]}
    found = [*documents(text), *documents(tmp_path), *documents(str(tmp_path / "two.yaml")), *documents([struct])]
    found += [*documents(listed)]
    assert [obj["metadata"]["name"] for obj in found] == ["a", "b", "a", "b", "a", "b", "c", "d", "e"]


@pytest.mark.parametrize("given", ["no/such/file.yaml", "a: [", {"kind": "Pod"}, "kind: Pod\nmetadata: {}\n"])
def test_what_is_no_manifest(given):
    with pytest.raises(ValueError, match=r"."):
        list(documents(given))


@pytest.mark.parametrize(
    ("wanted", "so"),
    [
        ("exists", True),
        ("gone", False),
        ("Ready", True),
        ("Ready=False", False),
        ("Other", False),
        ("status.phase=Running", True),
        ("status.phase=Pending", False),
        ("spec.hostNetwork=true", True),
        ("spec.nothing.there=x", False),
        (lambda obj: obj["status"]["phase"] == "Running", True),
    ],
)
def test_what_is_wanted(wanted, so):
    obj = {
        "metadata": {"generation": 1},
        "spec": {"hostNetwork": True},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }
    assert is_so(obj, wanted) is so


def test_a_condition_of_an_earlier_spec_does_not_count():
    conditions = [{"type": "Available", "status": "True"}]
    obj = {"metadata": {"generation": 2}, "status": {"observedGeneration": 1, "conditions": conditions}}
    assert not is_so(obj, "Available")
    assert not is_so(None, "Available")
    assert is_so(None, "gone")


def test_what_the_api_refuses_is_raised(cluster):
    with pytest.raises(errors.Invalid, match=r"spec\.containers: Required value"):
        cluster.apply(pod(containers=[]))
    with pytest.raises(errors.NotFound, match='pods "nobody" not found'):
        cluster.get("pod/nobody")
    with pytest.raises(LookupError, match="no matches for kind"):
        cluster.apply({"apiVersion": "example.test/v1", "kind": "Thing", "metadata": {"name": "a"}})


def test_a_user_may_do_what_rbac_lets_them(cluster):
    with pytest.raises(errors.Forbidden, match='User "alice" cannot list resource "pods"'):
        cluster.run(cluster.client("alice").of(core_v1.Pod).list("default"))


def test_two_clusters_share_nothing():
    with Cluster() as one, Cluster() as other:
        one.apply(deployment(1))
        one.advance("1m")
        assert other.elapsed == 0
        assert other.find("deployment/web") is None


def test_what_is_spawned_ends_with_the_cluster():
    ended = []

    async def work():
        import asyncio

        try:
            await asyncio.sleep(1e6)
        finally:
            ended.append(True)

    with Cluster(nodes=0) as cluster:
        cluster.spawn(work())
        cluster.advance(1)
    assert ended == [True]


def test_a_broken_invariant_fails_the_test(cluster):
    """Two controllers of one Pod: the API refuses that, so the watch is told directly."""
    owners = [
        meta_v1.OwnerReference(apiVersion="v1", kind="X", name=name, uid=name, controller=True) for name in ("a", "b")
    ]
    broken = core_v1.Pod(metadata=meta_v1.ObjectMeta(name="p", namespace="default", ownerReferences=owners))
    cluster._machine.invariants._judge(None, broken)
    with pytest.raises(AssertionError, match="pod default/p has 2 controllers: a, b"):
        cluster.settle()
