"""Running Pods that grow and shrink in place. Source: test/e2e/common/node/pod_resize.go of the conformance list."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from tests.acceptance.conformance_node.pods import (
    Object,
    condition,
    container,
    create,
    execute,
    get,
    pod,
    status_of,
    until,
)
from tests.acceptance.outside import Kubectl

#: CPU request and limit, memory request and limit.
Size = tuple[str | None, str | None, str | None, str | None]

SLEEP = "trap 'exit 0' TERM; sleep 1000 & wait"
#: What a container can read of its own groups, in either version.
GROUPS = (
    "cd /sys/fs/cgroup; if test -f cgroup.controllers; then cat cpu.weight cpu.max memory.max; "
    "else cat cpu/cpu.shares cpu/cpu.cfs_quota_us memory/memory.limit_in_bytes; fi"
)


def resources(size: Size) -> Object:
    cpu_request, cpu_limit, memory_request, memory_limit = size
    requests = {"cpu": cpu_request, "memory": memory_request}
    limits = {"cpu": cpu_limit, "memory": memory_limit}
    found = {"requests": _some(requests), "limits": _some(limits)}
    return {which: amounts for which, amounts in found.items() if amounts}


def _some(amounts: Mapping[str, str | None]) -> dict[str, str]:
    return {name: amount for name, amount in amounts.items() if amount is not None}


def guaranteed(cpu: str, memory: str) -> Size:
    return (cpu, cpu, memory, memory)


#: Name, sizes before, sizes after.
ROWS: list[tuple[str, list[Size], list[Size]]] = [
    (
        "guaranteed-net-increase",
        [guaranteed("20m", "35Mi"), guaranteed("20m", "35Mi"), guaranteed("50m", "55Mi")],
        [guaranteed("40m", "45Mi"), guaranteed("40m", "45Mi"), guaranteed("30m", "50Mi")],
    ),
    (
        "guaranteed-net-decrease",
        [guaranteed("20m", "35Mi"), guaranteed("50m", "55Mi"), guaranteed("50m", "55Mi")],
        [guaranteed("30m", "40Mi"), guaranteed("20m", "45Mi"), guaranteed("20m", "45Mi")],
    ),
    (
        "guaranteed-various",
        [guaranteed("20m", "35Mi"), guaranteed("40m", "35Mi"), guaranteed("20m", "35Mi")],
        [guaranteed("30m", "35Mi"), guaranteed("20m", "45Mi"), guaranteed("30m", "45Mi")],
    ),
    (
        "burstable-various",
        [
            (None, None, None, None),
            ("20m", None, None, None),
            (None, None, "35Mi", None),
            ("20m", "30m", "35Mi", "45Mi"),
            ("30m", "60m", None, None),
            (None, None, "35Mi", "70Mi"),
        ],
        [
            ("20m", "30m", "35Mi", "45Mi"),
            ("30m", "60m", None, None),
            (None, None, "45Mi", "80Mi"),
            ("15m", "20m", "45Mi", "55Mi"),
            ("20m", "40m", "35Mi", None),
            ("10m", None, "40Mi", "80Mi"),
        ],
    ),
    ("equivalents", [("2m", "10m", None, None)], [("1m", "5m", None, None)]),
]


def _pod(name: str, sizes: list[Size], **more: Any) -> Object:
    each = [
        container(SLEEP, f"c{i}", resources=resources(size), **more) if resources(size) else container(SLEEP, f"c{i}")
        for i, size in enumerate(sizes, 1)
    ]
    return pod(name, *each)


@pytest.fixture(scope="module")
def ready(space: Kubectl) -> Kubectl:
    create(space, [_pod(name, before) for name, before, _ in ROWS])
    space("wait --for=condition=Ready pod --all --timeout=30s")
    return space


def patch(kubectl: Kubectl, name: str, sizes: list[Size]) -> None:
    changes = [{"name": f"c{i}", "resources": resources(size)} for i, size in enumerate(sizes, 1)]
    body = json.dumps({"spec": {"containers": changes}})
    kubectl(f"patch pod {name} --subresource resize --patch '{body}'")


def settled(kubectl: Kubectl, name: str) -> Object:
    """The Pod once its resize is over."""

    def look() -> Object:
        found = get(kubectl, f"pod {name}")
        behind = found["status"].get("observedGeneration") != found["metadata"]["generation"]
        passing = any(condition(found, kind) for kind in ("PodResizePending", "PodResizeInProgress"))
        return {} if behind or passing else found

    return until(look, 10.0)


def limits_in_force(kubectl: Kubectl, name: str, container_name: str) -> list[str]:
    return execute(kubectl, name, GROUPS, container_name).split()


def _quota(cpu: str | None) -> str:
    return "-1" if cpu is None else str(max(int(cpu.removesuffix("m")) * 100, 1000))


@pytest.mark.parametrize("row", [pytest.param(row, id=row[0]) for row in ROWS])
def test_containers_take_their_new_size_and_go_on(ready: Kubectl, row: tuple[str, list[Size], list[Size]]) -> None:
    name, before, after = row
    old = get(ready, f"pod {name}")
    assert [c["resources"] for c in old["spec"]["containers"]] == [resources(size) for size in before]
    patch(ready, name, after)
    new = settled(ready, name)
    for i, size in enumerate(after, 1):
        status, earlier = status_of(new, f"c{i}"), status_of(old, f"c{i}")
        merged = {**resources(before[i - 1]), **resources(size)}
        assert status["resources"] == merged
        assert status["allocatedResources"] == merged["requests"]
        assert (status["containerID"], status["restartCount"]) == (earlier["containerID"], 0)
        _, quota, memory = limits_in_force(ready, name, f"c{i}")
        if quota.lstrip("-").isdigit() and not memory.startswith("max"):
            assert quota == _quota(size[1])
            assert size[3] is None or int(memory) == int(size[3].removesuffix("Mi")) << 20


def test_replace_and_read(ready: Kubectl) -> None:
    create(ready, [_pod("replaced", [guaranteed("20m", "35Mi")])])
    ready("wait --for=condition=Ready pod/replaced --timeout=20s")
    path = f"/api/v1/namespaces/{ready.namespace}/pods/replaced/resize"
    found = json.loads(ready(f"get --raw {path}"))
    found["spec"]["containers"][0]["resources"] = resources(guaranteed("25m", "40Mi"))
    ready(f"replace --raw {path} -f -", stdin=json.dumps(found))
    new = settled(ready, "replaced")
    assert status_of(new, "c1")["resources"] == resources(guaranteed("25m", "40Mi"))
    assert json.loads(ready(f"get --raw {path}"))["status"] == new["status"]


def test_a_policy_of_restart_makes_the_container_anew(ready: Kubectl) -> None:
    policy = [
        {"resourceName": "cpu", "restartPolicy": "NotRequired"},
        {"resourceName": "memory", "restartPolicy": "RestartContainer"},
    ]
    create(ready, [_pod("restarted", [guaranteed("20m", "35Mi")], resizePolicy=policy)])
    ready("wait --for=condition=Ready pod/restarted --timeout=20s")
    patch(ready, "restarted", [guaranteed("25m", "35Mi")])
    assert status_of(settled(ready, "restarted"), "c1")["restartCount"] == 0
    patch(ready, "restarted", [guaranteed("25m", "45Mi")])
    new = settled(ready, "restarted")
    assert status_of(new, "c1")["restartCount"] == 1
    assert status_of(new, "c1")["resources"] == resources(guaranteed("25m", "45Mi"))
    events = ready("get events --field-selector involvedObject.name=restarted -o custom-columns=M:.message,R:.reason")
    assert "Container c1 resize requires restart" in events
    assert "ResizeStarted" in events
    assert "ResizeCompleted" in events


def test_a_size_that_does_not_fit_waits_until_there_is_room(ready: Kubectl) -> None:
    cpus = int(get(ready, "node -A")["items"][0]["status"]["allocatable"]["cpu"])
    much = f"{cpus * 1000 - 700}m"
    create(ready, [_pod("large", [(much, None, None, None)]), _pod("grows", [("20m", None, None, None)])])
    ready("wait --for=condition=Ready pod/large pod/grows --timeout=20s")
    patch(ready, "grows", [("900m", None, None, None)])
    pending = until(lambda: condition(get(ready, "pod grows"), "PodResizePending"), 10.0)
    assert (pending["status"], pending["reason"]) == ("True", "Deferred")
    assert pending["message"].startswith("Node didn't have enough resource: cpu, requested: 900, used: ")
    assert status_of(get(ready, "pod grows"), "c1")["resources"] == {"requests": {"cpu": "20m"}}
    ready("delete pod large --wait=false")
    assert status_of(settled(ready, "grows"), "c1")["resources"] == {"requests": {"cpu": "900m"}}
    ready("delete pod grows --wait=false")
