"""PodSecurity: each check by a Pod that fails it, and what labels of a Namespace do with that."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.apiserver.webhooks.server import Admitting, admitting
from tiphys.api import core_v1
from tiphys.apiserver.admission.pod_security.checks import evaluate
from tiphys.apiserver.admission.pod_security.findings import Subject
from tiphys.apiserver.admission.pod_security.policy import LATEST, LevelVersion
from tiphys.machinery import codec

PODS = "/api/v1/namespaces/safe/pods"
GOOD: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
USUAL = (
    'allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), '
    'unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), '
    'runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), '
    'seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or '
    '"Localhost")'
)


def container(name: str = "c", context: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"name": name, "image": "i"} | ({"securityContext": context} if context is not None else {}) | more


def good(**more: Any) -> dict[str, Any]:
    return container(context=GOOD | more)


def subject(spec: dict[str, Any], annotations: dict[str, str] | None = None) -> Subject:
    document = {"metadata": {"name": "p", "annotations": annotations or {}}, "spec": {"containers": [good()]} | spec}
    pod = codec.convert(core_v1.Pod, document)
    return Subject(pod.metadata, pod.spec)


def said(level: str, spec: dict[str, Any], version: int = LATEST, **annotations: str) -> list[str]:
    listed = {name.replace("__", "/").replace("_", "."): value for name, value in annotations.items()}
    return [str(one) for one in evaluate(LevelVersion(level, version), subject(spec, listed))]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, []),
        (
            {"hostNetwork": True, "hostPID": True, "hostIPC": True},
            ["host namespaces (hostNetwork=true, hostPID=true, hostIPC=true)"],
        ),
        (
            {"containers": [good(privileged=True)]},
            ['privileged (container "c" must not set securityContext.privileged=true)'],
        ),
        (
            {"containers": [good(capabilities={"add": ["NET_ADMIN", "BPF", "CHOWN"]})]},
            [
                'non-default capabilities (container "c" must not include "BPF", "NET_ADMIN" in '
                "securityContext.capabilities.add)"
            ],
        ),
        (
            {"volumes": [{"name": "a", "hostPath": {"path": "/"}}, {"name": "b", "hostPath": {"path": "/"}}]},
            ['hostPath volumes (volumes "a", "b")'],
        ),
        (
            {
                "containers": [
                    container("a", GOOD, ports=[{"containerPort": 1, "hostPort": 80}]),
                    container("b", GOOD, ports=[{"containerPort": 1, "hostPort": 443}]),
                ]
            },
            ['hostPort (containers "a", "b" use hostPorts 443, 80)'],
        ),
        (
            {"containers": [container("a", GOOD, livenessProbe={"httpGet": {"host": "1.1.1.1", "port": 1}})]},
            ['probe or lifecycle host (container "a" uses probe or lifecycle host "1.1.1.1")'],
        ),
        (
            {"containers": [good(procMount="Unmasked")]},
            ['procMount (container "c" must not set securityContext.procMount to "Unmasked")'],
        ),
        ({"containers": [good(procMount="Unmasked")], "hostUsers": False}, []),
        (
            {"securityContext": {"seLinuxOptions": {"type": "spc_t", "user": "u", "role": "r"}}},
            [
                'seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type "spc_t"; user may not be set; '
                "role may not be set)"
            ],
        ),
        (
            {
                "securityContext": {"seccompProfile": {"type": "Unconfined"}},
                "containers": [good(seccompProfile={"type": "Unconfined"})],
            },
            ['seccompProfile (pod and container "c" must not set securityContext.seccompProfile.type to "Unconfined")'],
        ),
        (
            {"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}},
            ["forbidden sysctls (kernel.msgmax)"],
        ),
        (
            {"securityContext": {"windowsOptions": {"hostProcess": True}}},
            ["hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)"],
        ),
        (
            {"containers": [good(appArmorProfile={"type": "Unconfined"})]},
            ['forbidden AppArmor profile (container "c" must not set AppArmor profile type to "Unconfined")'],
        ),
    ],
)
def test_baseline(spec: dict[str, Any], expected: list[str]) -> None:
    assert said("baseline", spec) == expected


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, []),
        ({"containers": [container()]}, [USUAL]),
        (
            {"volumes": [{"name": "a", "hostPath": {"path": "/"}}, {"name": "n", "nfs": {"server": "s", "path": "/"}}]},
            ['restricted volume types (volumes "a", "n" use restricted volume types "hostPath", "nfs")'],
        ),
        ({"containers": [good(runAsUser=0)]}, ['runAsUser=0 (container "c" must not set runAsUser=0)']),
        ({"containers": [good(runAsUser=0, runAsNonRoot=False)], "hostUsers": False}, []),
        (
            {"securityContext": {"runAsNonRoot": False}},
            ["runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)"],
        ),
        (
            {"containers": [good(capabilities={"add": ["NET_BIND_SERVICE", "CHOWN"]})]},
            [
                'unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]; '
                'container "c" must not include "CHOWN" in securityContext.capabilities.add)'
            ],
        ),
        (
            {"os": {"name": "windows"}, "containers": [container()], "securityContext": {"runAsNonRoot": True}},
            [],
        ),
        (
            {"containers": [good(procMount="Unmasked")], "hostUsers": False},
            ['procMount (container "c" must not set securityContext.procMount to "Unmasked")'],
        ),
    ],
)
def test_restricted(spec: dict[str, Any], expected: list[str]) -> None:
    assert ", ".join(said("restricted", spec)) == ", ".join(expected)


@pytest.mark.parametrize(
    ("level", "version", "spec", "expected"),
    [
        ("restricted", 7, {"containers": [container(context={"runAsNonRoot": True})]}, 0),
        ("restricted", 8, {"containers": [container(context={"runAsNonRoot": True})]}, 1),
        ("restricted", 18, {"containers": [container()]}, 2),
        ("restricted", 19, {"containers": [container()]}, 3),
        ("restricted", 22, {"containers": [container()]}, 4),
        ("restricted", 24, {"containers": [container()], "os": {"name": "windows"}}, 4),
        ("restricted", 25, {"containers": [container()], "os": {"name": "windows"}}, 1),
        ("restricted", 22, {"containers": [good(runAsUser=0)]}, 0),
        ("restricted", 34, {"containers": [good(runAsUser=0)], "hostUsers": False}, 1),
        ("baseline", 33, {"containers": [container("a", livenessProbe={"tcpSocket": {"host": "h", "port": 1}})]}, 0),
        ("baseline", 26, {"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_rmem", "value": "1"}]}}, 1),
        ("baseline", 32, {"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_rmem", "value": "1"}]}}, 0),
        ("baseline", 30, {"securityContext": {"seLinuxOptions": {"type": "container_engine_t"}}}, 1),
        ("baseline", 31, {"securityContext": {"seLinuxOptions": {"type": "container_engine_t"}}}, 0),
        ("privileged", 0, {"hostNetwork": True}, 0),
        # Versions that are yet to come are as the newest.
        ("restricted", 99, {"containers": [container()]}, 4),
    ],
)
def test_versions(level: str, version: int, spec: dict[str, Any], expected: int) -> None:
    assert len(said(level, spec, version)) == expected


def test_annotations_of_old() -> None:
    seccomp = {"seccomp.security.alpha.kubernetes.io/pod": "unconfined"}
    found = evaluate(LevelVersion("baseline", 18), subject({}, seccomp))
    assert [str(one) for one in found] == [
        'seccompProfile (forbidden annotation seccomp.security.alpha.kubernetes.io/pod="unconfined")'
    ]
    assert evaluate(LevelVersion("baseline", 19), subject({}, seccomp)) == []
    key = "container.apparmor.security.beta.kubernetes.io/c"
    (one,) = evaluate(LevelVersion("baseline"), subject({}, {key: "unconfined"}))
    assert str(one) == (
        f'forbidden AppArmor profile (annotation must not set AppArmor profile type to "{key}=\\"unconfined\\"")'
    )


async def make(api: Admitting, **labels: str) -> Any:
    listed = {f"pod-security.kubernetes.io/{name.replace('_', '-')}": value for name, value in labels.items()}
    metadata = {"name": "safe", "labels": listed}
    status, found = await api.call("GET", "/api/v1/namespaces/safe")
    if status == 200:
        found["metadata"]["labels"] = listed
        return await api.raw("PUT", "/api/v1/namespaces/safe", found)
    made = await api.raw("POST", "/api/v1/namespaces", {"metadata": metadata})
    await api.call("POST", "/api/v1/namespaces/safe/serviceaccounts", {"metadata": {"name": "default"}})
    return made


def pod(name: str = "web", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"containers": [container()]} | spec}


def workload() -> dict[str, Any]:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container()]}}
    return {"metadata": {"name": "web"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}}


async def test_what_is_enforced_is_refused(api: Admitting) -> None:
    await make(api, enforce="restricted")
    status, found = await api.call("POST", PODS, pod())
    assert (status, found["reason"]) == (403, "Forbidden")
    assert found["message"] == f'pods "web" is forbidden: violates PodSecurity "restricted:latest": {USUAL}'
    made = await api.raw("POST", PODS, pod(containers=[good()]))
    assert made.status == 201
    # Workloads are only warned about; what they make is refused.
    response = await api.raw("POST", "/apis/apps/v1/namespaces/safe/deployments", workload())
    assert response.status == 201


async def test_what_is_warned_of_is_said(api: Admitting) -> None:
    await make(api, warn="restricted", warn_version="v1.25", audit="baseline")
    for path, body in ((PODS, pod()), ("/apis/apps/v1/namespaces/safe/deployments", workload())):
        response = await api.raw("POST", path, body)
        assert response.status == 201
        shown = json.dumps([*map(str, dict(response.headers).values())]).replace("\\", "")
        assert 'would violate PodSecurity "restricted:v1.25": allowPrivilegeEscalation != false' in shown
    # Nothing that matters changes, so nothing is said.
    found = await api.ok("GET", f"{PODS}/web")
    found["metadata"]["labels"] = {"a": "b"}
    response = await api.raw("PUT", f"{PODS}/web", found)
    assert response.status == 200
    assert "PodSecurity" not in str(response.headers)


async def test_labels_must_be_right(api: Admitting) -> None:
    response = await make(api, enforce="strict", warn_version="1.2")
    assert response.status == 422
    assert json.loads(response.body)["message"] == (
        'Namespace "safe" is invalid: [metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "strict": '
        "must be one of privileged, baseline, restricted, "
        'metadata.labels[pod-security.kubernetes.io/warn-version]: Invalid value: "1.2": must be "latest" or "v1.x"]'
    )


async def test_a_stricter_level_tells_of_what_is_there(api: Admitting) -> None:
    await make(api)
    for name in ("b", "a"):
        await api.ok("POST", PODS, pod(name))
    await api.ok("POST", PODS, pod("host", hostNetwork=True, containers=[good()]))
    response = await make(api, enforce="restricted")
    assert response.status == 200
    shown = str(response.headers).replace("\\", "")
    assert 'existing pods in namespace "safe" violate the new PodSecurity enforce level "restricted:latest"' in shown
    reasons = "allowPrivilegeEscalation != false, unrestricted capabilities, runAsNonRoot != true, seccompProfile"
    assert f"a (and 1 other pod): {reasons}" in shown
    assert "host: host namespaces" in shown
    assert "PodSecurity" not in str((await make(api, enforce="baseline")).headers)


async def test_defaults_and_exemptions(tmp_path: Path) -> None:
    configuration = {
        "apiVersion": "pod-security.admission.config.k8s.io/v1",
        "kind": "PodSecurityConfiguration",
        "defaults": {"enforce": "baseline"},
        "exemptions": {"usernames": ["trusted"], "namespaces": ["kube-system"], "runtimeClasses": []},
    }
    file = tmp_path / "admission.yaml"
    plugins = [{"name": "PodSecurity", "configuration": configuration}]
    whole = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration", "plugins": plugins}
    file.write_text(json.dumps(whole))
    async with admitting(admission_config_file=str(file)) as api:
        body = pod(hostNetwork=True)
        status, found = await api.call("POST", "/api/v1/namespaces/default/pods", body)
        assert (status, found["message"]) == (
            403,
            'pods "web" is forbidden: violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true)',
        )
        await api.call("POST", "/api/v1/namespaces/kube-system/serviceaccounts", {"metadata": {"name": "default"}})
        await api.ok("POST", "/api/v1/namespaces/kube-system/pods", body)
