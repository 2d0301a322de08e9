"""Rules of claims, volumes, limit ranges and quotas."""

from typing import Any

import pytest

from tests.resources.judging import builtins, changed, faults_of, made

SIZE = {"requests": {"storage": "1Gi"}}
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": SIZE}
VOLUME = {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "nfs": {"server": "s", "path": "/p"}}
SNAPSHOT = {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "s"}
ONE = {"key": "a", "operator": "In", "values": ["b"]}
AFFINITY = {"required": {"nodeSelectorTerms": [{"matchExpressions": [ONE]}]}}


def without(spec: dict[str, Any], *names: str, **more: Any) -> dict[str, Any]:
    return {name: value for name, value in spec.items() if name not in names} | more


CASES: list[tuple[str, dict[str, Any], list[str]]] = [
    ("pvc", CLAIM, []),
    ("pvc", without(CLAIM, "accessModes"), ["spec.accessModes: Required value: at least 1 access mode is required"]),
    (
        "pvc",
        without(CLAIM, dataSource={"kind": "Pod", "name": "p"}),
        [
            'spec.dataSource: Invalid value: "Pod": must be \'PersistentVolumeClaim\' when referencing the default '
            "apiGroup",
            'spec.dataSourceRef: Invalid value: "Pod": must be \'PersistentVolumeClaim\' when referencing the default '
            "apiGroup",
        ],
    ),
    (
        "pvc",
        without(CLAIM, dataSource=SNAPSHOT, dataSourceRef={**SNAPSHOT, "name": "other"}),
        ['spec: Invalid value: "spec.dataSource": must match dataSourceRef'],
    ),
    ("pv", VOLUME, []),
    ("pv", without(VOLUME, "nfs"), ["spec: Required value: must specify a volume type"]),
    ("pv", without(VOLUME, nfs={"server": "s", "path": "p"}), [
        'spec.nfs.path: Invalid value: "p": must be an absolute path',
    ]),
    ("pv", without(VOLUME, "nfs", local={"path": "/d"}), [
        "spec.nodeAffinity: Required value: Local volume requires node affinity",
    ]),
    ("pv", without(VOLUME, "nfs", local={"path": "/d"}, nodeAffinity=AFFINITY), []),
    ("pv", without(VOLUME, "nfs", csi={"driver": "d.example.com", "nodePublishSecretRef": {"name": "s"}}), [
        "spec.csi.volumeHandle: Required value",
        "spec.csi.nodePublishSecretRef.namespace: Required value",
    ]),
    ("pv", without(VOLUME, volumeAttributesClassName="fast"), [
        "spec.csi: Required value: has to be specified when using volumeAttributesClassName",
    ]),
    ("limits", {"limits": [{"type": "Container", "max": {"cpu": "1"}, "min": {"cpu": "100m"}}]}, []),
    ("limits", {"limits": [{"type": "House"}]}, [
        'spec.limits[0].type: Invalid value: "House": must be a standard limit type or fully qualified',
    ]),
    ("limits", {"limits": [{"type": "PersistentVolumeClaim"}]}, [
        "spec.limits[0].limits: Required value: either minimum or maximum storage value is required, but neither was "
        "provided",
    ]),
    ("limits", {"limits": [{"type": "Container", "max": {"cpu": "1"}, "defaultRequest": {"cpu": "2"}}]}, [
        'spec.limits[0].defaultRequest[cpu]: Invalid value: "2": default request value 2 is greater than max value 1',
        'spec.limits[0].defaultRequest[cpu]: Invalid value: "2": default request value 2 is greater than default '
        "limit value 1",
    ]),
    ("limits", {"limits": [{"type": "Pod", "maxLimitRequestRatio": {"cpu": "500m"}}]}, [
        'spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "500m": ratio 500m is less than 1',
    ]),
    ("quota", {"hard": {"pods": "3", "requests.cpu": "1500m", "count/jobs.batch": "1"}}, []),
    ("quota", {"hard": {"pods": "1500m", "houses": "1"}}, [
        'spec.hard[pods]: Invalid value: "1500m": must be an integer',
        'spec.hard[houses]: Invalid value: "houses": must be a standard resource for quota',
    ]),
    ("quota", {"hard": {"services": "3"}, "scopes": ["BestEffort", "NotBestEffort"]}, [
        'spec.scopes: Invalid value: ["BestEffort","NotBestEffort"]: unsupported scope applied to resource',
        'spec.scopes: Invalid value: ["BestEffort","NotBestEffort"]: unsupported scope applied to resource',
        'spec.scopes: Invalid value: ["BestEffort","NotBestEffort"]: conflicting scopes',
    ]),
    (
        "quota",
        {"hard": {"pods": "3"}, "scopeSelector": {"matchExpressions": [
            {"scopeName": "PriorityClass", "operator": "In"}, {"scopeName": "PriorityClass", "operator": "Near"},
        ]}},
        [
            "spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when `operator` "
            "is 'In' or 'NotIn' for scope selector",
            'spec.scopeSelector.matchExpressions.operator: Invalid value: "Near": not a valid selector operator',
        ],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "spec", "expected"), CASES)
def test_what_is_wrong(name: str, spec: dict[str, Any], expected: list[str]) -> None:
    assert faults_of(name, {"spec": spec}) == expected


def test_each_spelling_of_a_source_says_what_the_other_does() -> None:
    assert builtins(made("pvc", {"spec": without(CLAIM, dataSource=SNAPSHOT)}))["spec"]["dataSourceRef"] == SNAPSHOT
    assert builtins(made("pvc", {"spec": without(CLAIM, dataSourceRef=SNAPSHOT)}))["spec"]["dataSource"] == SNAPSHOT
    elsewhere = {**SNAPSHOT, "namespace": "other"}
    assert made("pvc", {"spec": without(CLAIM, dataSourceRef=elsewhere)}).spec.dataSource is None


def test_what_may_change_of_a_claim() -> None:
    old = made("pvc", {"spec": CLAIM})
    assert changed("pvc", old, lambda new: setattr(new.spec, "storageClassName", "fast"))[1] == []
    old.status.phase, old.status.capacity, old.spec.volumeName = "Bound", {"storage": "1Gi"}, "v"
    old.spec.resources.requests["storage"] = "3Gi"

    def size(amount: str) -> list[str]:
        return changed("pvc", old, lambda new: new.spec.resources.requests.update(storage=amount))[1]

    assert size("4Gi") == size("2Gi") == []
    assert size("1Gi") == ["spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"]
    _, errors = changed("pvc", old, lambda new: setattr(new.spec, "volumeName", "w"))
    assert errors[0].startswith("spec: Forbidden: spec is immutable after creation except resources.requests")


def test_scopes_of_a_quota_stay() -> None:
    old = made("quota", {"spec": {"hard": {"pods": "1"}, "scopes": ["BestEffort"]}})
    _, errors = changed("quota", old, lambda new: setattr(new.spec, "scopes", ["NotBestEffort"]))
    assert errors == ['spec.scopes: Invalid value: ["NotBestEffort"]: field is immutable']
