"""Pods over their life: order of containers, hooks, probes, restarts, last words, deadlines, what follows a change.

Source: test/e2e/common/node and test/e2e/node of the conformance list. All Pods run side by side.
"""

import json
import shutil
import time
from collections.abc import Callable

import pytest

from tests.acceptance.conformance_node.pods import (
    Object,
    all_pods,
    condition,
    container,
    create,
    execute,
    get,
    mounts,
    once,
    pod,
    status_of,
    until,
)
from tests.acceptance.outside import Kubectl

#: A folder of the host: what the Pod has would be gone with it.
HOOKS = "/tmp/tiphys-conformance-hook"
SLEEP = "trap 'exit 0' TERM; sleep 1000 & wait"
SERVE = "mkdir -p /tmp/w/cgi-bin; cd /tmp/w; echo ok > healthz; exec busybox httpd -f -p 8080 -h /tmp/w"


def probe(**fields: object) -> Object:
    return {"periodSeconds": 1, "failureThreshold": 1, "timeoutSeconds": 5, **fields}


def running(name: str, script: str = SLEEP, **fields: object) -> Object:
    return pod(name, container(script, **fields))


def runs(found: Object) -> bool:
    return found["status"].get("phase") == "Running" and bool(condition(found, "Ready").get("status") == "True")


def restarted(found: Object, times: int = 1) -> bool:
    return bool(status_of(found).get("restartCount", 0) >= times)


def ended(found: Object) -> Object:
    state: Object = status_of(found).get("state", {}).get("terminated", {})
    return state


def message_is(text: str) -> Callable[[Object], bool]:
    return lambda found: bool(ended(found)) and ended(found).get("message", "") == text


def failed_init_never(found: Object) -> bool:
    status = found["status"]
    waiting = status_of(found)["state"].get("waiting", {})
    return (
        status.get("phase") == "Failed"
        and condition(found, "Initialized").get("reason") == "ContainersNotInitialized"
        and condition(found, "Initialized").get("message") == "containers with incomplete status: [i1 i2]"
        and waiting.get("reason") == "PodInitializing"
    )


def init_again(found: Object) -> bool:
    return (
        found["status"].get("phase") == "Pending"
        and status_of(found, "i1").get("restartCount", 0) >= 2
        and status_of(found)["state"].get("waiting", {}).get("reason") == "PodInitializing"
    )


def never_ready(found: Object) -> bool:
    if not status_of(found).get("started"):
        return False
    started = status_of(found)["state"]["running"]["startedAt"]
    old = time.time() - time.mktime(time.strptime(started, "%Y-%m-%dT%H:%M:%SZ")) + time.timezone > 4
    return old and not status_of(found)["ready"] and status_of(found)["restartCount"] == 0


OK, BAD = [container("exit 0", f"i{n}") for n in (1, 2)], [container("exit 1", "i1"), container("exit 0", "i2")]
#: Pods, and what each must come to.
ROWS: list[tuple[Object, Callable[[Object], object]]] = [
    # common/node/container_probe.go
    (running("live-exec-ok", livenessProbe=probe(exec={"command": ["test", "-d", "/tmp"]})), runs),
    (running("live-http-ok", SERVE, livenessProbe=probe(httpGet={"path": "/healthz", "port": 8080})), runs),
    (running("live-tcp-ok", SERVE, livenessProbe=probe(tcpSocket={"port": 8080})), runs),
    (
        running(
            "live-exec-fails",
            "touch /tmp/health; sleep 1; rm /tmp/health; sleep 1000",
            livenessProbe=probe(exec={"command": ["cat", "/tmp/health"]}),
        ),
        restarted,
    ),
    (
        running(
            "live-http-fails",
            "mkdir /tmp/w; cd /tmp/w; touch healthz; (sleep 1; rm healthz) & exec busybox httpd -f -p 8080 -h /tmp/w",
            livenessProbe=probe(httpGet={"path": "/healthz", "port": 8080}),
        ),
        restarted,
    ),
    (running("live-grpc-fails", SERVE, livenessProbe=probe(grpc={"port": 8080})), restarted),
    (running("never-ready", SLEEP, readinessProbe=probe(exec={"command": ["false"]})), never_ready),
    # common/node/runtime.go: last words
    (
        once("last-words-file", "printf DONE > /dev/termination-log", terminationMessagePolicy="FallbackToLogsOnError"),
        message_is("DONE"),
    ),
    (once("last-words-none", "echo DONE", terminationMessagePolicy="FallbackToLogsOnError"), message_is("")),
    (
        once("last-words-log", "echo DONE; exit 1", terminationMessagePolicy="FallbackToLogsOnError"),
        message_is("DONE\n"),
    ),
    (
        once(
            "last-words-elsewhere",
            "printf DONE > /dev/other-log",
            terminationMessagePath="/dev/other-log",
            securityContext={"runAsUser": 1000},
        ),
        message_is("DONE"),
    ),
    # common/node/runtime.go: policies
    (running("policy-always", "sleep 0.2; exit 0"), lambda p: restarted(p, 2) and p["status"]["phase"] == "Running"),
    (
        once(
            "policy-on-failure",
            "echo x >> /v/n; test $(wc -l < /v/n) -ge 2",
            [{"name": "v", "emptyDir": {}}],
            {"restartPolicy": "OnFailure"},
            volumeMounts=mounts("v:/v"),
        ),
        lambda p: p["status"]["phase"] == "Succeeded" and status_of(p)["restartCount"] == 1,
    ),
    (
        once("policy-never", "exit 3"),
        lambda p: p["status"]["phase"] == "Failed"
        and status_of(p)["restartCount"] == 0
        and (ended(p)["exitCode"], ended(p)["reason"]) == (3, "Error"),
    ),
    # common/node/init_container.go
    (
        pod("init-never", container("exit 0"), initContainers=OK, restartPolicy="Never"),
        lambda p: p["status"]["phase"] == "Succeeded"
        and condition(p, "Initialized")["reason"] == "PodCompleted"
        and all(status_of(p, name)["ready"] for name in ("i1", "i2")),
    ),
    (pod("init-always", container(SLEEP), initContainers=OK), runs),
    (
        pod("init-fails-never", container(SLEEP), initContainers=[BAD[0], BAD[1]], restartPolicy="Never"),
        failed_init_never,
    ),
    (pod("init-fails-always", container(SLEEP), initContainers=BAD), init_again),
    # common/node/lifecycle_hook.go
    (
        running("post-start-exec", lifecycle={"postStart": {"exec": {"command": ["sh", "-c", "echo x > /tmp/hook"]}}}),
        runs,
    ),
    (
        running("post-start-http", SERVE, lifecycle={"postStart": {"httpGet": {"path": "/healthz", "port": 8080}}}),
        lambda p: runs(p) or restarted(p),
    ),
    # common/node/pods.go, node/pods.go, sysctl.go, expansion.go, runtimeclass.go
    (
        pod("deadline", container(SLEEP), activeDeadlineSeconds=2),
        lambda p: p["status"].get("phase") == "Failed" and p["status"]["reason"] == "DeadlineExceeded",
    ),
    (
        once("absolute-sub-path", "true", [{"name": "v", "emptyDir": {}}], env=[{"name": "P", "value": "/tmp"}],
             volumeMounts=[{"name": "v", "mountPath": "/v", "subPathExpr": "$(P)"}]),
        lambda p: status_of(p)["state"].get("waiting", {}).get("reason") == "CreateContainerConfigError",
    ),
    (
        once("sub-path-outside", "true", [{"name": "v", "emptyDir": {}}], env=[{"name": "P", "value": ".."}],
             volumeMounts=[{"name": "v", "mountPath": "/v", "subPathExpr": "$(P)"}]),
        lambda p: status_of(p)["state"].get("waiting", {}).get("reason") == "CreateContainerConfigError",
    ),
    (
        once("sub-path-later", "true", [{"name": "v", "emptyDir": {}},
                                        {"name": "d", "downwardAPI": {"items": [
                                            {"path": "x", "fieldRef": {"fieldPath": "metadata.name"}}]}}],
             env=[{"name": "P", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['sub']"}}}],
             volumeMounts=[{"name": "v", "mountPath": "/v", "subPathExpr": "$(P)/x"}]),
        lambda p: status_of(p)["state"].get("waiting", {}).get("reason") == "CreateContainerConfigError",
    ),
    (
        once("with-class", "true", spec={"runtimeClassName": "later"}),
        lambda p: p["status"].get("phase") == "Succeeded",
    ),
    (
        running("follows", volumeMounts=mounts("c:/c", "o:/o", "d:/d"), env=[]),
        runs,
    ),
    (running("talks", "for i in 1 2 3; do echo line-$i; done; " + SLEEP), runs),
    (
        running("asks-to-end", "trap 'exit 0' TERM; sleep 1000 & wait", lifecycle={"preStop": {"exec": {"command": [
            "sh", "-c", "echo x > /shared/hook"]}}}, volumeMounts=mounts("shared:/shared")),
        runs,
    ),
    (running("two-of-three", SLEEP, resources={"limits": {"cpu": "10m", "memory": "16Mi"}}),
     lambda p: p["status"].get("qosClass") == "Guaranteed"),
]  # fmt: skip

VOLUMES = {
    "follows": [
        {"name": "c", "configMap": {"name": "followed"}},
        {"name": "o", "projected": {"sources": [{"secret": {"name": "later", "optional": True}}]}},
        {"name": "d", "downwardAPI": {"items": [
            {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
            {"path": "annotations", "fieldRef": {"fieldPath": "metadata.annotations"}}]}},
    ],
    "asks-to-end": [{"name": "shared", "hostPath": {"path": HOOKS, "type": "DirectoryOrCreate"}}],
}  # fmt: skip


@pytest.fixture(scope="module")
def started(space: Kubectl) -> Kubectl:
    runtime_class = {
        "apiVersion": "node.k8s.io/v1",
        "kind": "RuntimeClass",
        "metadata": {"name": "later"},
        "handler": "tiphys",
    }
    create(
        space,
        [
            runtime_class,
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "followed"}, "data": {"a": "1"}},
        ],
    )
    for each, _ in ROWS:
        name = each["metadata"]["name"]
        each["spec"].setdefault("volumes", []).extend(VOLUMES.get(name, []))
    create(space, [each for each, _ in ROWS])
    return space


@pytest.mark.parametrize("row", [pytest.param(row, id=row[0]["metadata"]["name"]) for row in ROWS])
def test_what_becomes_of_a_pod(started: Kubectl, row: tuple[Object, Callable[[Object], object]]) -> None:
    name = row[0]["metadata"]["name"]
    found: Object = {}

    def look() -> object:
        nonlocal found
        found = all_pods(started)[name]
        return row[1](found)

    try:
        until(look, 20.0)
    except (AssertionError, KeyError) as error:
        raise AssertionError(json.dumps(found["status"], indent=1)) from error


def test_files_follow_their_objects(started: Kubectl) -> None:
    started("wait --for=condition=Ready pod/follows --timeout=20s")
    assert execute(started, "follows", "cat /c/a; ls /o") == "1"
    started('patch configmap followed -p \'{"data":{"a":"2","b":"3"}}\'')
    started("create secret generic later --from-literal=k=v")
    started("label pod follows more=yes")
    started("annotate pod follows told=so")
    wanted = "2 3 v\nso\nyes\n"
    script = (
        "echo $(cat /c/a) $(cat /c/b) $(cat /o/k); grep -o '\"so\"' /d/annotations | tr -d '\"'; grep -o yes /d/labels"
    )
    until(lambda: started.run(f"exec follows -- sh -c {_quoted(script)}").stdout == wanted, 10.0)
    started("delete secret later")
    until(lambda: execute(started, "follows", "ls /o") == "", 10.0)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\"'\"'") + "'"


def test_a_sub_path_that_is_mended_starts_the_container(started: Kubectl) -> None:
    started("annotate pod sub-path-later sub=folder --overwrite")
    until(lambda: get(started, "pod sub-path-later")["status"]["phase"] == "Succeeded", 20.0)


def test_pre_stop_runs_before_the_container_ends(started: Kubectl) -> None:
    started("wait --for=condition=Ready pod/asks-to-end --timeout=20s")
    started("delete pod asks-to-end")
    create(started, [once("looks", "cat /shared/hook; rm -r /shared/hook", VOLUMES["asks-to-end"],
                          volumeMounts=mounts("shared:/shared"))])  # fmt: skip
    try:
        until(lambda: get(started, "pod looks")["status"].get("phase") == "Succeeded", 20.0)
    finally:
        shutil.rmtree(HOOKS, ignore_errors=True)


def test_generation_counts_changes_and_is_observed(started: Kubectl) -> None:
    create(started, [pod("counted", container("trap '' TERM; sleep 1000"), activeDeadlineSeconds=1000)])
    started("wait --for=condition=Ready pod/counted --timeout=20s")
    assert get(started, "pod counted")["metadata"]["generation"] == 1
    started('patch pod counted -p \'{"spec":{"activeDeadlineSeconds":900}}\'')
    started("label pod counted x=y")
    until(lambda: get(started, "pod counted")["status"].get("observedGeneration") == 2, 5.0)
    started("delete pod counted --wait=false --grace-period=10")
    assert get(started, "pod counted")["metadata"]["generation"] == 3
    started("delete pod counted --grace-period=0 --force")


def test_hosts_are_managed_unless_mounted_or_of_the_host(started: Kubectl) -> None:
    mounted = [{"name": "h", "mountPath": "/etc/hosts"}]
    first = "head -1 /etc/hosts"
    create(
        started,
        [
            pod(
                "hosts",
                container(f"{first}; {SLEEP}"),
                container(f"{first}; {SLEEP}", "own", volumeMounts=mounted),
                volumes=[{"name": "h", "hostPath": {"path": "/etc/hosts", "type": "File"}}],
            ),
            pod("hosts-of-host", container(f"{first}; {SLEEP}"), hostNetwork=True),
        ],
    )
    started("wait --for=condition=Ready pod/hosts pod/hosts-of-host --timeout=20s")
    assert started("logs hosts -c main").startswith("# Kubernetes-managed hosts file.")
    assert not started("logs hosts -c own").startswith("# Kubernetes-managed")
    assert started("logs hosts-of-host").startswith("# Kubernetes-managed hosts file (host network).")


def test_ephemeral_containers_start_in_a_pod_that_runs(started: Kubectl) -> None:
    started("wait --for=condition=Ready pod/talks --timeout=20s")
    path = f"/api/v1/namespaces/{started.namespace}/pods/talks/ephemeralcontainers"
    found = json.loads(started("get pod talks -o json"))
    found["spec"]["ephemeralContainers"] = [container("echo polo; sleep 1000", "debugger", stdin=True)]
    started(f"replace --raw {path} -f -", stdin=json.dumps(found))
    until(lambda: "polo" in started.run("logs talks -c debugger").stdout, 10.0)


def test_sysctls_that_are_not_allowed_are_refused(started: Kubectl) -> None:
    bad = once("bad-sysctl", "true", spec={"securityContext": {"sysctls": [
        {"name": "foo-", "value": "bar"}, {"name": "safe-and-unsafe", "value": "100000000"}, {"name": "bar..", "value": "42"}]}})  # fmt: skip
    refused = started.run("create -f -", stdin=json.dumps(bad))
    assert refused.returncode == 1
    assert 'spec.securityContext.sysctls[0].name: Invalid value: "foo-"' in refused.stdout
    assert 'spec.securityContext.sysctls[2].name: Invalid value: "bar.."' in refused.stdout
    assert "safe-and-unsafe" not in refused.stdout
    unsafe = once("unsafe-sysctl", "true", spec={"securityContext": {"sysctls": [
        {"name": "kernel.msgmax", "value": "100000000"}]}})  # fmt: skip
    create(started, [unsafe])
    until(lambda: get(started, "pod unsafe-sysctl")["status"].get("reason") == "SysctlForbidden", 10.0)
