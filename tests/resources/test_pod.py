"""Rules of Pod. Expected texts are those of Kubernetes 1.36."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.resources.judging import builtins, cells, changed, faults_of, made
from tiphys.api import core_v1
from tiphys.resources import table

NOW = datetime(2026, 1, 31, 9, tzinfo=UTC)


def pod(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "web"}, "spec": {"containers": [container()], **spec}}


def container(**fields: Any) -> dict[str, Any]:
    return {"name": "c", "image": "img:1", **fields}


def test_defaults_of_a_minimal_pod() -> None:
    assert builtins(made("pods", pod()))["spec"] == {
        "containers": [
            {
                "name": "c",
                "image": "img:1",
                "imagePullPolicy": "IfNotPresent",
                "resources": {},
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
            }
        ],
        "dnsPolicy": "ClusterFirst",
        "enableServiceLinks": True,
        "restartPolicy": "Always",
        "schedulerName": "default-scheduler",
        "securityContext": {},
        "terminationGracePeriodSeconds": 30,
    }


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1.27", "IfNotPresent"),
        ("localhost:5000/nginx", "Always"),
        ("localhost:5000/nginx:1", "IfNotPresent"),
        ("nginx@sha256:" + "0" * 64, "IfNotPresent"),
    ],
)
def test_pull_policy_follows_the_tag(image: str, policy: str) -> None:
    assert made("pods", pod(containers=[container(image=image)])).spec.containers[0].imagePullPolicy == policy


def test_defaults_inside_of_containers_and_volumes() -> None:
    spec = made(
        "pods",
        pod(
            hostNetwork=True,
            containers=[
                container(
                    ports=[{"containerPort": 80}],
                    env=[
                        {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                        {"name": "B", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
                    ],
                    livenessProbe={"httpGet": {"port": 80}},
                    resources={"limits": {"cpu": "1000m", "memory": "1Gi"}, "requests": {"cpu": "500m"}},
                )
            ],
            volumes=[
                {"name": "a"},
                {"name": "b", "secret": {"secretName": "s"}},
                {"name": "c", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}},
                {"name": "d", "hostPath": {"path": "/x"}},
            ],
        ),
    ).spec
    first = spec.containers[0]
    assert (first.ports[0].protocol, first.ports[0].hostPort) == ("TCP", 80)
    assert first.env[0].valueFrom.fieldRef.apiVersion == "v1"
    assert first.env[1].valueFrom.resourceFieldRef.divisor == "0"
    assert builtins(first.livenessProbe) == {
        "failureThreshold": 3,
        "httpGet": {"path": "/", "port": 80, "scheme": "HTTP"},
        "periodSeconds": 10,
        "successThreshold": 1,
        "timeoutSeconds": 1,
    }
    assert first.resources.requests == {"cpu": "500m", "memory": "1Gi"}
    assert spec.volumes[0].emptyDir == core_v1.EmptyDirVolumeSource()
    assert spec.volumes[1].secret.defaultMode == 420
    assert spec.volumes[2].projected.sources[0].serviceAccountToken.expirationSeconds == 3600
    assert spec.volumes[3].hostPath.type == ""


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({}, "BestEffort"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "0.5"}}, "Burstable"),
        ({"limits": {"ephemeral-storage": "1Gi"}}, "BestEffort"),
    ],
)
def test_class_of_service(resources: dict[str, Any], expected: str) -> None:
    created = made("pods", {**pod(containers=[container(resources=resources)]), "status": {"phase": "Running"}})
    assert builtins(created.status) == {"phase": "Pending", "qosClass": expected}


LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    "with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (pod(containers=[]), ["spec.containers: Required value"]),
        (pod(containers=[{"name": "A_", "image": "i"}]), [f'spec.containers[0].name: Invalid value: "A_": {LABEL}']),
        (pod(containers=[{"name": "c"}]), ["spec.containers[0].image: Required value"]),
        (pod(containers=[container(), container()]), ['spec.containers[1].name: Duplicate value: "c"']),
        (
            pod(restartPolicy="Sometimes"),
            ['spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"'],
        ),
        (
            pod(containers=[container(ports=[{"containerPort": 70000}])]),
            ["spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive"],
        ),
        (
            pod(containers=[container(volumeMounts=[{"name": "x", "mountPath": "/x"}])]),
            ['spec.containers[0].volumeMounts[0].name: Not found: "x"'],
        ),
        (
            pod(containers=[container(resources={"requests": {"cpu": "2"}, "limits": {"cpu": "1"}})]),
            ['spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1'],
        ),
        (
            pod(containers=[container(livenessProbe={})]),
            ["spec.containers[0].livenessProbe: Required value: must specify a handler type"],
        ),
        (
            pod(tolerations=[{"key": "a", "operator": "Exists", "value": "b"}]),
            ["spec.tolerations[0].operator: Invalid value: \"b\": value must be empty when `operator` is 'Exists'"],
        ),
        (
            pod(activeDeadlineSeconds=0),
            ["spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"],
        ),
        (
            pod(volumes=[{"name": "v", "emptyDir": {}, "hostPath": {"path": "/"}}]),
            ["spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"],
        ),
        (
            pod(initContainers=[{"name": "i", "image": "x", "readinessProbe": {"tcpSocket": {"port": 1}}}]),
            [
                "spec.initContainers[0].readinessProbe: Forbidden: "
                "may not be set for init containers without restartPolicy=Always"
            ],
        ),
        (
            pod(containers=[container(env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.nothing"}}}])]),
            [
                'spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: "spec.nothing": '
                "error converting fieldPath: field label not supported: spec.nothing"
            ],
        ),
        (pod(dnsPolicy="None"), ["spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"]),
        (
            pod(ephemeralContainers=[{"name": "e", "image": "x"}]),
            ["spec.ephemeralContainers: Forbidden: cannot be set on create"],
        ),
        (pod(nodeSelector={"a": "b c"}), None),
        (pod(), []),
    ],
)
def test_faults_of_new_pods(spec: dict[str, Any], expected: list[str] | None) -> None:
    found = faults_of("pods", spec)
    if expected is None:
        assert len(found) == 1
    else:
        assert found == expected


def test_updates_may_change_images_and_add_tolerations() -> None:
    old = made("pods", pod())

    def change(new: Any) -> None:
        new.spec.containers[0].image = "img:2"
        new.spec.tolerations = [core_v1.Toleration(key="a", operator="Exists")]

    new, errors = changed("pods", old, change)
    assert errors == []
    assert (old.metadata.generation, new.metadata.generation) == (1, 2)


def test_updates_may_change_nothing_else() -> None:
    old = made("pods", pod())
    _, errors = changed("pods", old, lambda new: setattr(new.spec, "hostname", "other"))
    assert len(errors) == 1
    assert errors[0].startswith(
        "spec: Forbidden: pod updates may not change fields other than "
        "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,"
        "`spec.tolerations` (only additions to existing tolerations),"
        "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n"
    )
    assert 'hostname: "other"' in errors[0]
    _, errors = changed("pods", old, lambda new: new.spec.containers.append(new.spec.containers[0]))
    assert "spec.containers: Forbidden: pod updates may not add or remove containers" in errors


def test_status_endpoint_changes_status_only() -> None:
    old = made("pods", pod())

    def change(new: Any) -> None:
        new.spec.nodeName = "elsewhere"
        new.status.phase = "Running"
        new.status.podIP = "10.0.0.9"

    new, errors = changed("pods", old, change, "status")
    assert errors == []
    assert new.spec == old.spec
    assert (new.status.phase, new.status.podIPs[0].ip, new.metadata.generation) == ("Running", "10.0.0.9", 1)
    new, errors = changed("pods", new, lambda again: setattr(again, "status", core_v1.PodStatus()))
    assert new.status.phase == "Running"


def test_what_has_ended_does_not_start_again() -> None:
    old = made("pods", pod(restartPolicy="Never"))
    ended = core_v1.ContainerState(terminated=core_v1.ContainerStateTerminated(exitCode=1))
    old.status.containerStatuses = [core_v1.ContainerStatus(name="c", state=ended)]
    running = core_v1.ContainerState(running=core_v1.ContainerStateRunning())
    _, errors = changed("pods", old, lambda new: setattr(new.status.containerStatuses[0], "state", running), "status")
    assert errors == ["status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"]


def test_ephemeral_containers_are_only_added() -> None:
    old = made("pods", pod())
    debugger = core_v1.EphemeralContainer(name="debug", image="busybox")

    def add(new: Any) -> None:
        new.spec.ephemeralContainers = [debugger]
        new.spec.hostname = "ignored"

    new, errors = changed("pods", old, add, "ephemeralcontainers")
    assert errors == []
    assert new.spec.hostname is None
    _, errors = changed(
        "pods", new, lambda again: setattr(again.spec, "ephemeralContainers", None), "ephemeralcontainers"
    )
    assert errors == ['spec.ephemeralContainers: Forbidden: existing ephemeral containers "debug" may not be removed\n']


@pytest.mark.parametrize(
    ("node", "phase", "asked", "expected"),
    [("", "Pending", None, 0), ("n", "Running", None, 30), ("n", "Running", 5, 5), ("n", "Succeeded", 5, 0)],
)
def test_grace_period(node: str, phase: str, asked: int | None, expected: int) -> None:
    obj = made("pods", pod(nodeName=node))
    obj.status.phase = phase
    assert table.find("pods").strategy.grace_period_seconds(obj, asked) == expected


def status(**fields: Any) -> core_v1.ContainerStatus:
    return core_v1.ContainerStatus(name=fields.pop("name", "c"), **fields)


def waiting(reason: str) -> core_v1.ContainerState:
    return core_v1.ContainerState(waiting=core_v1.ContainerStateWaiting(reason=reason))


def ended(code: int, reason: str = "") -> core_v1.ContainerState:
    return core_v1.ContainerState(terminated=core_v1.ContainerStateTerminated(exitCode=code, reason=reason or None))


RUNNING = core_v1.ContainerState(running=core_v1.ContainerStateRunning())


@pytest.mark.parametrize(
    ("phase", "statuses", "inits", "expected"),
    [
        ("Pending", [], [], ("0/1", "Pending", "0")),
        ("Pending", [status(state=waiting("ContainerCreating"))], [], ("0/1", "ContainerCreating", "0")),
        ("Running", [status(state=RUNNING, ready=True)], [], ("1/1", "Running", "0")),
        ("Running", [status(state=waiting("CrashLoopBackOff"), restartCount=3)], [], ("0/1", "CrashLoopBackOff", "3")),
        ("Succeeded", [status(state=ended(0, "Completed"))], [], ("0/1", "Completed", "0")),
        ("Failed", [status(state=ended(2))], [], ("0/1", "ExitCode:2", "0")),
        ("Pending", [status(state=waiting("PodInitializing"))], [status(name="i")], ("0/1", "Init:0/1", "0")),
        ("Pending", [], [status(name="i", state=ended(1, "Error"))], ("0/1", "Init:Error", "0")),
        ("Pending", [], [status(name="i", state=waiting("ErrImagePull"))], ("0/1", "Init:ErrImagePull", "0")),
    ],
)
def test_columns(phase: str, statuses: list[Any], inits: list[Any], expected: tuple[str, str, str]) -> None:
    obj = made("pods", pod(initContainers=[{"name": "i", "image": "x"}] if inits else []))
    obj.status.phase = phase
    obj.status.containerStatuses, obj.status.initContainerStatuses = statuses, inits
    shown = cells("pods", obj, NOW)
    assert (shown["Ready"], shown["Status"], shown["Restarts"]) == expected


def test_columns_of_restarted_and_deleted_pods() -> None:
    obj = made("pods", pod(nodeName="n1"))
    obj.metadata.creationTimestamp = "2026-01-31T08:00:00Z"
    last = core_v1.ContainerState(
        terminated=core_v1.ContainerStateTerminated(exitCode=1, finishedAt="2026-01-31T08:55:00Z")
    )
    obj.status.containerStatuses = [status(state=RUNNING, ready=True, restartCount=2, lastState=last)]
    obj.status.phase, obj.status.podIPs = "Running", [core_v1.PodIP(ip="10.1.0.4")]
    shown = cells("pods", obj, NOW)
    assert shown == {
        "Name": "web",
        "Ready": "1/1",
        "Status": "Running",
        "Restarts": "2 (5m ago)",
        "Age": "60m",
        "IP": "10.1.0.4",
        "Node": "n1",
        "Nominated Node": "<none>",
        "Readiness Gates": "<none>",
    }
    obj.metadata.deletionTimestamp = "2026-01-31T09:00:00Z"
    assert cells("pods", obj, NOW)["Status"] == "Terminating"


def test_warnings() -> None:
    obj = made("pods", pod(containers=[container(env=[{"name": "A"}, {"name": "A"}])]))
    assert table.find("pods").strategy.warnings(obj, None) == [
        'spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply'
    ]


def test_gated_pods_wait_with_a_condition() -> None:
    obj = made("pods", pod(schedulingGates=[{"name": "example.com/gate"}]))
    assert obj.status.conditions[0].reason == "SchedulingGated"
    assert cells("pods", obj, NOW)["Status"] == "SchedulingGated"


def test_resize_changes_resources_only() -> None:
    old = made("pods", pod(containers=[container(resources={"requests": {"cpu": "1"}})]))

    def grow(new: Any) -> None:
        new.spec.containers[0].resources.requests = {"cpu": "2"}
        new.spec.containers[0].image = "ignored"
        new.metadata.labels = {"ignored": "too"}

    new, errors = changed("pods", old, grow, "resize")
    assert errors == []
    assert (new.spec.containers[0].image, new.metadata.labels) == ("img:1", {})
    assert (new.spec.containers[0].resources.requests, new.metadata.generation) == ({"cpu": "2"}, 2)
    new, errors = changed(
        "pods", old, lambda each: setattr(each.spec.containers[0].resources, "requests", None), "resize"
    )
    assert errors == ['spec: Invalid value: "BestEffort": Pod QOS Class may not change as a result of resizing']


def test_label_keys_become_part_of_the_selector() -> None:
    term = {"topologyKey": "zone", "labelSelector": {}, "matchLabelKeys": ["hash"]}
    affinity = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    obj = made("pods", {**pod(affinity=affinity), "metadata": {"labels": {"hash": "1"}}})
    (required,) = obj.spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution
    assert builtins(required.labelSelector) == {
        "matchExpressions": [{"key": "hash", "operator": "In", "values": ["1"]}]
    }


def test_names_that_are_no_host_names_are_warned_of() -> None:
    (warning,) = table.find("pods").strategy.warnings(made("pods", {**pod(), "metadata": {"name": "a.b"}}), None)
    assert warning.startswith("metadata.name: this is used in the Pod's hostname")
    assert warning.endswith("a DNS label is recommended: [must not contain dots]")
