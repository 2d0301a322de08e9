"""Rules of resource.k8s.io: claims, templates, classes and slices."""

from typing import Any

import msgspec
import pytest

from tests.resources.judging import UID, builtins, cells, changed, faults_of, made

NOW: Any = None
EXACT = {"name": "gpu", "exactly": {"deviceClassName": "gpu.example.com"}}


def claim(*requests: dict[str, Any], **devices: Any) -> dict[str, Any]:
    return {"spec": {"devices": {"requests": list(requests), **devices}}}


def offer(**spec: Any) -> dict[str, Any]:
    pool = {"name": "n1", "generation": 1, "resourceSliceCount": 1}
    return {"spec": {"driver": "gpu.example.com", "pool": pool, "nodeName": "n1", **spec}}


def test_defaults_of_requests() -> None:
    tolerated = {"deviceClassName": "c", "tolerations": [{"key": "a", "value": "b"}]}
    found = builtins(
        made("resourceclaims", claim(EXACT, {"name": "x", "firstAvailable": [{"name": "s", **tolerated}]}))
    )
    requests = found["spec"]["devices"]["requests"]
    assert requests[0]["exactly"] == {"deviceClassName": "gpu.example.com", "allocationMode": "ExactCount", "count": 1}
    assert requests[1]["firstAvailable"][0]["tolerations"] == [{"key": "a", "value": "b", "operator": "Equal"}]
    everything = {"name": "all", "exactly": {"deviceClassName": "c", "allocationMode": "All"}}
    found = builtins(made("resourceclaims", claim(everything)))
    assert "count" not in found["spec"]["devices"]["requests"][0]["exactly"]


NAMES_A_REQUEST = (
    "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"
)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (claim(EXACT), []),
        (claim(), []),
        (
            claim({"name": "gpu"}),
            ["spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required"],
        ),
        (
            claim({"name": "gpu", "exactly": {}}),
            ["spec.devices.requests[0].exactly.deviceClassName: Required value"],
        ),
        (claim(EXACT, EXACT), ['spec.devices.requests[1]: Duplicate value: "gpu"']),
        (
            claim({"name": "g", "exactly": {"deviceClassName": "c", "allocationMode": "All", "count": 2}}),
            [
                "spec.devices.requests[0].exactly.count: Invalid value: 2: must not be specified when allocationMode "
                "is 'All'"
            ],
        ),
        (
            claim({"name": "g", "exactly": {"deviceClassName": "c", "allocationMode": "Some"}}),
            [
                'spec.devices.requests[0].exactly.allocationMode: Unsupported value: "Some": supported values: "All", '
                '"ExactCount"'
            ],
        ),
        (
            claim(EXACT, constraints=[{"requests": ["cpu"], "matchAttribute": "numa"}]),
            [
                f'spec.devices.constraints[0].requests[0]: Invalid value: "cpu": {NAMES_A_REQUEST}',
                'spec.devices.constraints[0].matchAttribute: Invalid value: "numa": must include a domain',
            ],
        ),
        (
            claim(EXACT, config=[{"opaque": {"driver": ""}}]),
            [
                "spec.devices.config[0].opaque.driver: Required value",
                "spec.devices.config[0].opaque.parameters: Required value",
            ],
        ),
    ],
)
def test_what_is_wrong_with_a_claim(body: dict[str, Any], expected: list[str]) -> None:
    assert faults_of("resourceclaims", body) == expected
    assert faults_of("resourceclaimtemplates", {"spec": body}) == [
        error.replace("spec.devices", "spec.spec.devices") for error in expected
    ]


def test_the_spec_of_a_claim_stays() -> None:
    old = made("resourceclaims", claim(EXACT))
    _, errors = changed("resourceclaims", old, lambda new: setattr(new.spec.devices, "requests", []))
    assert len(errors) == 1
    assert errors[0].startswith("spec: Invalid value: ")
    assert errors[0].endswith(": field is immutable")


def allocate(new: Any, request: str = "gpu") -> None:
    result = {"request": request, "driver": "gpu.example.com", "pool": "n1", "device": "d0"}
    consumer = {"resource": "pods", "name": "p", "uid": UID}
    status = {"allocation": {"devices": {"results": [result]}}, "reservedFor": [consumer]}
    new.status = msgspec.convert(status, type(new.status))


def test_allocation_through_status() -> None:
    old = made("resourceclaims", claim(EXACT))
    assert cells("resourceclaims", old, NOW)["State"] == "pending"
    new, errors = changed("resourceclaims", old, allocate, "status")
    assert errors == []
    assert cells("resourceclaims", new, NOW)["State"] == "allocated,reserved"
    _, errors = changed("resourceclaims", old, lambda claim: allocate(claim, "cpu"), "status")
    assert errors == [f'status.allocation.devices.results[0].request: Invalid value: "cpu": {NAMES_A_REQUEST}']
    _, errors = changed("resourceclaims", new, lambda claim: allocate(claim, "cpu"), "status")
    assert errors[0].startswith("status.allocation: Invalid value: ")
    _, errors = changed("resourceclaims", new, lambda claim: setattr(claim.status, "allocation", None), "status")
    assert errors == ["status.reservedFor: Forbidden: may not be specified when `allocated` is not set"]


PLACES = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (offer(), []),
        (offer(nodeName=None), [f"spec: Required value: {PLACES}"]),
        (
            offer(allNodes=True),
            [f'spec: Invalid value: "{{`nodeName`, `allNodes`}}": {PLACES}, but multiple fields are set'],
        ),
        (
            offer(devices=[{"name": "d", "attributes": {"a": {"int": 1, "bool": True}}}]),
            [
                'spec.devices[0].attributes[a]: Invalid value: {"bool":true,"int":1}: exactly one value must be '
                "specified"
            ],
        ),
        (
            offer(devices=[{"name": "d", "attributes": {"v": {"version": "one"}}}]),
            [
                'spec.devices[0].attributes[v].version: Invalid value: "one": must be a string compatible with '
                "semver.org spec 2.0.0"
            ],
        ),
        (
            offer(devices=[{"name": "d", "capacity": {"m": {"value": "1", "requestPolicy": {"default": "1"}}}}]),
            ["spec.devices[0].capacity[m].requestPolicy: Forbidden: allowMultipleAllocations must be true"],
        ),
        (offer(devices=[{"name": "d"}, {"name": "d"}]), ['spec.devices[1]: Duplicate value: "d"']),
        (
            offer(devices=[{"name": f"d{i}"} for i in range(129)]),
            ["spec.devices: Too many: 129: must have at most 128 items"],
        ),
        (
            offer(devices=[{"name": "d"}], sharedCounters=[{"name": "c", "counters": {"m": {"value": "1"}}}]),
            ['spec: Invalid value: "": only one of `sharedCounters` or `devices` is allowed'],
        ),
        (
            offer(pool={"name": "n1", "generation": -1, "resourceSliceCount": 0}),
            [
                "spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero",
                "spec.pool.generation: Invalid value: -1: must be greater than or equal to zero",
            ],
        ),
    ],
)
def test_what_is_wrong_with_a_slice(body: dict[str, Any], expected: list[str]) -> None:
    assert faults_of("resourceslices", body) == expected


def test_a_slice_keeps_its_driver_and_counts_its_generation() -> None:
    old = made("resourceslices", offer())
    new, errors = changed("resourceslices", old, lambda each: setattr(each.spec, "driver", "other.example.com"))
    assert errors == ['spec.driver: Invalid value: "other.example.com": field is immutable']
    assert (old.metadata.generation, new.metadata.generation) == (1, 2)


def test_extended_resource_names_of_classes() -> None:
    assert faults_of("deviceclasses", {"spec": {"extendedResourceName": "example.com/gpu"}}) == []
    assert faults_of("deviceclasses", {"spec": {"extendedResourceName": "cpu"}}) == [
        'spec.extendedResourceName: Invalid value: "cpu": must be a valid extended resource name'
    ]
