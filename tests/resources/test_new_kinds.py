"""Rules of addresses, ranges, storage capacities, attribute classes, workloads and their groups."""

from typing import Any

import pytest

from tests.resources.judging import cells, changed, faults_of, made

NOW: Any = None
GANG = {"gang": {"minCount": 2}}


def named(name: str, **rest: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, **rest}


def parent(**reference: str) -> dict[str, Any]:
    return {"spec": {"parentRef": reference}}


ADDRESS = named("10.0.0.1", **parent(resource="services", namespace="d", name="web"))
CASES: list[tuple[str, dict[str, Any], list[str]]] = [
    ("ipaddresses", ADDRESS, []),
    ("ipaddresses", named("10.0.0.1"), ["spec.parentRef: Required value"]),
    (
        "ipaddresses",
        named("web", **parent(resource="services", name="a/b")),
        [
            'metadata.name: Invalid value: "web": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
            "spec.parentRef.name: Invalid value: \"a/b\": may not contain '/'",
        ],
    ),
    ("servicecidrs", {"spec": {"cidrs": ["10.0.0.0/24", "fd00::/112"]}}, []),
    ("servicecidrs", {"spec": {}}, ["spec.cidrs: Required value: at least one CIDR required"]),
    (
        "servicecidrs",
        {"spec": {"cidrs": ["10.0.0.0/24", "10.0.1.0/24"]}},
        [
            'spec.cidrs: Invalid value: ["10.0.0.0/24","10.0.1.0/24"]: may specify no more than one IP for each IP '
            "family, i.e 192.168.0.0/24 and 2001:db8::/64"
        ],
    ),
    ("csistoragecapacities", {"storageClassName": "fast", "capacity": "1Gi"}, []),
    (
        "csistoragecapacities",
        {"storageClassName": "Fast", "capacity": "-1"},
        [
            'storageClassName: Invalid value: "Fast": a lowercase RFC 1123 subdomain must consist of lower case '
            "alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. "
            "'example.com', regex used for validation is "
            "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
            'capacity: Invalid value: "-1": must be greater than or equal to 0',
        ],
    ),
    ("volumeattributesclasses", {"driverName": "d.example.com", "parameters": {"iops": "3"}}, []),
    (
        "volumeattributesclasses",
        {},
        ["driverName: Required value", "parameters: Required value: must contain at least one key/value pair"],
    ),
    ("workloads", {"spec": {"podGroupTemplates": [{"name": "a", "schedulingPolicy": GANG}]}}, []),
    ("workloads", {"spec": {}}, ["spec.podGroupTemplates: Required value: must have at least one item"]),
    (
        "workloads",
        {"spec": {"podGroupTemplates": [{"name": "a", "schedulingPolicy": {}}]}},
        [
            'spec.podGroupTemplates[0].schedulingPolicy: Invalid value: "": must specify one of: `basic`, `gang`',
        ],
    ),
    ("podgroups", {"spec": {"schedulingPolicy": GANG}}, []),
    (
        "podgroups",
        {"spec": {"schedulingPolicy": {"gang": {"minCount": -1}}}},
        ["spec.schedulingPolicy.gang.minCount: Invalid value: -1: must be greater than or equal to 1"],
    ),
]


@pytest.mark.parametrize(("name", "body", "expected"), CASES)
def test_what_is_wrong(name: str, body: dict[str, Any], expected: list[str]) -> None:
    assert faults_of(name, body) == expected


def test_ranges_stay_but_a_family_may_be_added() -> None:
    old = made("servicecidrs", {"spec": {"cidrs": ["10.0.0.0/24"]}})
    assert changed("servicecidrs", old, lambda new: new.spec.cidrs.append("fd00::/112"))[1] == []
    _, errors = changed("servicecidrs", old, lambda new: setattr(new.spec, "cidrs", ["10.0.1.0/24"]))
    assert errors == ['spec.cidrs[0]: Invalid value: "10.0.1.0/24": field is immutable']
    _, errors = changed("servicecidrs", old, lambda new: setattr(new.spec, "cidrs", []))
    assert errors == ["spec.cidrs: Invalid value: []: field is immutable"]


def test_an_address_keeps_its_parent() -> None:
    old = made("ipaddresses", ADDRESS)
    assert cells("ipaddresses", old, NOW)["ParentRef"] == "services/d/web"
    _, errors = changed("ipaddresses", old, lambda new: setattr(new.spec.parentRef, "name", "other"))
    assert errors == [
        'spec.parentRef: Invalid value: {"name":"other","namespace":"d","resource":"services"}: field is immutable'
    ]


def test_attributes_of_a_class_stay() -> None:
    old = made("volumeattributesclasses", {"driverName": "d", "parameters": {"iops": "3"}})
    _, errors = changed("volumeattributesclasses", old, lambda new: new.parameters.update(iops="4"))
    assert errors == ["parameters: Forbidden: updates to parameters are forbidden."]


def test_templates_of_a_workload_stay() -> None:
    old = made("workloads", {"spec": {"podGroupTemplates": [{"name": "a", "schedulingPolicy": GANG}]}})
    _, errors = changed("workloads", old, lambda new: setattr(new.spec.podGroupTemplates[0], "name", "b"))
    assert errors[0].startswith("spec.podGroupTemplates: Invalid value: ")
