"""Rules of the kinds without Pods, and of the metadata that all share."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.resources.judging import builtins, cells, changed, faults_of, made
from tiphys.api import core_v1, meta_v1
from tiphys.resources import metadata, table

NOW = datetime(2026, 1, 31, 9, tzinfo=UTC)


def errors_after(name: str, body: dict[str, Any], change: Any, subresource: str = "") -> list[str]:
    found: list[str] = changed(name, made(name, body), change, subresource)[1]
    return found


def test_a_namespace_is_active_labelled_and_finalized() -> None:
    assert builtins(made("ns", {"metadata": {"name": "team"}})) == {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": "team",
            "labels": {"kubernetes.io/metadata.name": "team"},
            "uid": "0c5b1a52-0000-4000-8000-000000000001",
        },
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }
    new, _ = changed("ns", made("ns", {}), lambda ns: setattr(ns.spec, "finalizers", None))
    assert new.spec.finalizers == ["kubernetes"]
    new, _ = changed("ns", made("ns", {}), lambda ns: setattr(ns.spec, "finalizers", None), "finalize")
    assert new.spec.finalizers is None


def test_string_data_becomes_data() -> None:
    secret = made("secrets", {"data": {"a": "eA=="}, "stringData": {"a": "new", "b": "y"}})
    assert (secret.type, secret.data, secret.stringData) == ("Opaque", {"a": b"new", "b": b"y"}, None)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"type": "kubernetes.io/tls", "data": {"tls.crt": "eA=="}}, ["data[tls.key]: Required value"]),
        (
            {"type": "kubernetes.io/service-account-token"},
            ["metadata.annotations[kubernetes.io/service-account.name]: Required value"],
        ),
        ({"type": "example.com/own"}, []),
    ],
)
def test_types_of_secrets(body: dict[str, Any], expected: list[str]) -> None:
    assert faults_of("secrets", body) == expected


def test_what_is_immutable_in_secrets_and_config_maps() -> None:
    assert errors_after("secrets", {}, lambda new: setattr(new, "type", "other")) == [
        'type: Invalid value: "other": field is immutable'
    ]
    sealed = {"immutable": True, "data": {"a": "eA=="}}
    assert errors_after("secrets", sealed, lambda new: new.data.update(b=b"")) == [
        "data: Forbidden: field is immutable when `immutable` is set"
    ]
    assert errors_after("cm", sealed, lambda new: setattr(new, "immutable", False)) == [
        "immutable: Forbidden: field is immutable when `immutable` is set"
    ]


def test_config_maps_hold_one_mebibyte() -> None:
    assert faults_of("cm", {"data": {"a": "x" * 2**20}}) == []
    assert faults_of("cm", {"data": {"a": "x" * 2**20, "b": "y"}}) == [": Too long: may not be more than 1048576 bytes"]
    assert cells("cm", made("cm", {"data": {"a": "1"}, "binaryData": {"b": ""}}), NOW)["Data"] == 2


def test_nodes_keep_their_address_range() -> None:
    node = {"metadata": {"name": "n1"}, "spec": {"podCIDR": "10.1.0.0/24"}}
    assert made("no", node).spec.podCIDRs == ["10.1.0.0/24"]

    def move(new: Any) -> None:
        new.spec.podCIDR, new.spec.podCIDRs = "10.2.0.0/24", ["10.2.0.0/24"]

    assert errors_after("no", node, move) == [
        'spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid'
    ]


def test_columns_of_nodes() -> None:
    node = made("no", {"metadata": {"name": "n1", "labels": {"node-role.kubernetes.io/control-plane": ""}}})
    node.spec.unschedulable = True
    node.status.conditions = [core_v1.NodeCondition(type="Ready", status="True")]
    node.status.addresses = [core_v1.NodeAddress(type="InternalIP", address="192.0.2.1")]
    node.status.nodeInfo = core_v1.NodeSystemInfo(kubeletVersion="v1.36.0", osImage="Debian")
    shown = cells("no", node, NOW)
    assert shown["Status"] == "Ready,SchedulingDisabled"
    assert (shown["Roles"], shown["Version"]) == ("control-plane", "v1.36.0")
    assert (shown["Internal-IP"], shown["External-IP"], shown["OS-Image"]) == ("192.0.2.1", "<none>", "Debian")


def test_roles_and_bindings() -> None:
    assert faults_of("roles", {"rules": [{"verbs": ["get"], "nonResourceURLs": ["/x"]}, {"verbs": []}]}) == [
        'rules[0].nonResourceURLs: Invalid value: ["/x"]: namespaced rules cannot apply to non-resource URLs',
        "rules[1].verbs: Required value: verbs must contain at least one value",
        "rules[1].apiGroups: Required value: resource rules must supply at least one api group",
        "rules[1].resources: Required value: resource rules must supply at least one resource",
    ]
    binding = {
        "roleRef": {"kind": "ClusterRole", "name": "view"},
        "subjects": [
            {"kind": "User", "name": "ann"},
            {"kind": "ServiceAccount", "name": "bot", "namespace": "ci"},
        ],
    }
    obj = made("rolebindings", binding)
    assert obj.subjects[0].apiGroup == obj.roleRef.apiGroup == "rbac.authorization.k8s.io"
    assert faults_of("rolebindings", binding) == []
    shown = cells("rolebindings", obj, NOW)
    assert (shown["Role"], shown["Users"], shown["ServiceAccounts"]) == ("ClusterRole/view", "ann", "ci/bot")
    (error,) = errors_after("rolebindings", binding, lambda new: setattr(new.roleRef, "name", "edit"))
    assert error.endswith("cannot change roleRef")
    assert faults_of("clusterrolebindings", {**binding, "roleRef": {"kind": "Role", "name": "a"}}) == [
        'roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole"'
    ]


def test_names_of_roles_may_hold_colons() -> None:
    assert faults_of("clusterroles", {"metadata": {"name": "system:node"}}) == []
    assert faults_of("clusterroles", {"metadata": {"name": "a/b"}}) == [
        "metadata.name: Invalid value: \"a/b\": may not contain '/'"
    ]


def test_events_of_both_groups() -> None:
    core = {"metadata": {"name": "e", "namespace": "default"}, "involvedObject": {"namespace": "other"}}
    assert faults_of("events", core) == [
        'involvedObject.namespace: Invalid value: "other": does not match event.namespace'
    ]
    found = faults_of("events.events.k8s.io", {"regarding": {"namespace": "default"}, "deprecatedCount": 1})
    assert "eventTime: Required value" in found
    assert 'count: Invalid value: "": needs to be unset' in found
    event = made(
        "events",
        {
            "involvedObject": {"kind": "Pod", "name": "web", "namespace": "default"},
            "lastTimestamp": "2026-01-31T08:59:00Z",
            "type": "Normal",
            "reason": "Pulled",
            "message": "done\n",
            "source": {"component": "kubelet", "host": "n1"},
        },
    )
    shown = cells("events", event, NOW)
    assert (shown["Last Seen"], shown["Object"], shown["Message"]) == ("60s", "pod/web", "done")
    assert shown["Source"] == "kubelet, n1"
    fields = {name: read(event) for name, read in table.find("events").fields.items()}
    assert (fields["involvedObject.name"], fields["reason"], fields["source"]) == ("web", "Pulled", "kubelet")


def test_endpoint_slices() -> None:
    body = {"addressType": "IPv4", "endpoints": [{"addresses": ["10.1.0.1"]}], "ports": [{"port": 80}]}
    slice_ = made("endpointslices", body)
    assert builtins(slice_.ports) == [{"name": "", "port": 80, "protocol": "TCP"}]
    assert cells("endpointslices", slice_, NOW)["Endpoints"] == "10.1.0.1"
    assert faults_of("endpointslices", {**body, "addressType": "IPv6"}) == [
        'endpoints[0].addresses[0]: Invalid value: "10.1.0.1": must be an IPv6 address'
    ]
    new, _ = changed("endpointslices", slice_, lambda each: each.endpoints[0].addresses.append("10.1.0.2"))
    assert new.metadata.generation == 2


@pytest.mark.parametrize(
    ("meta", "expected"),
    [
        ({"labels": {"a": "b" * 64}}, ["metadata.labels"]),
        ({"labels": {"a/b/c": ""}}, ["metadata.labels"]),
        ({"annotations": {"UPPER.example/Case": "any value"}}, []),
        ({"annotations": {"a": "x" * 262144}}, ["metadata.annotations"]),
        ({"finalizers": ["example.com/a"]}, []),
        ({"finalizers": ["orphan", "foregroundDeletion"]}, ["metadata.finalizers"]),
        (
            {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": ""}]},
            ["metadata.ownerReferences.uid"],
        ),
        ({"namespace": "Bad"}, ["metadata.namespace"]),
        ({"generateName": "ok-"}, []),
        ({"generateName": "Bad-"}, ["metadata.generateName"]),
    ],
)
def test_metadata(meta: dict[str, Any], expected: list[str]) -> None:
    row = table.find("cm")
    obj = made("cm", {"metadata": meta})
    assert [error.path for error in metadata.validate_create(row, obj)] == expected


def test_metadata_updates() -> None:
    row = table.find("cm")
    old = made("cm", {"metadata": {"finalizers": ["example.com/a"], "deletionTimestamp": "2026-01-31T08:00:00Z"}})
    new = made("cm", {"metadata": {"finalizers": ["example.com/b"], "deletionTimestamp": "2026-01-31T08:00:00Z"}})
    new.metadata.uid = "other"
    assert [str(error) for error in metadata.validate_update(row, new, old)] == [
        "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, "
        'found new finalizers []string{"example.com/b"}',
        'metadata.uid: Invalid value: "other": field is immutable',
    ]


def test_cluster_scoped_objects_have_no_namespace() -> None:
    node = made("no", {"metadata": {"name": "n"}})
    node.metadata.namespace = "default"
    assert [str(error) for error in metadata.validate_create(table.find("no"), node)] == [
        "metadata.namespace: Forbidden: not allowed on this type"
    ]


def test_owners_have_one_controller() -> None:
    def owner(name: str) -> meta_v1.OwnerReference:
        return meta_v1.OwnerReference(apiVersion="apps/v1", kind="ReplicaSet", name=name, uid="u", controller=True)

    obj = made("cm", {})
    obj.metadata.ownerReferences = [owner("a"), owner("b")]
    (error,) = metadata.validate_create(table.find("cm"), obj)
    assert 'Found "true" in references for ReplicaSet/a and ReplicaSet/b' in error.detail
