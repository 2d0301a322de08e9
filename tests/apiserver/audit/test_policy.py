"""Audit policies: what matches, and what is refused."""

import json
from typing import Any

import pytest

from tiphys.apiserver.audit.policy import Policy, PolicyError
from tiphys.apiserver.seams import Attributes
from tiphys.wire.exchange import UserInfo

JANE = UserInfo("jane", groups=("devs", "system:authenticated"))
POD = Attributes("get", "/api/v1/namespaces/n/pods/p", JANE, True, "", "v1", "pods", "", "n", "p")
LOG = Attributes("get", "", JANE, True, "", "v1", "pods", "log", "n", "p")
NODE = Attributes("update", "", JANE, True, "", "v1", "nodes", "status", "", "x")
PATH = Attributes("get", "/healthz/etcd", JANE)


def policy(*rules: dict[str, Any], **more: Any) -> Policy:
    document = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": list(rules), **more}
    return Policy.parse(json.dumps(document).encode())


@pytest.mark.parametrize(
    ("rule", "matched"),
    [
        ({}, "POD LOG NODE PATH"),
        ({"users": ["jane"]}, "POD LOG NODE PATH"),
        ({"users": ["joe"]}, ""),
        ({"userGroups": ["ops", "devs"]}, "POD LOG NODE PATH"),
        ({"userGroups": ["ops"]}, ""),
        ({"verbs": ["update", "watch"]}, "NODE"),
        ({"namespaces": ["n"]}, "POD LOG"),
        ({"namespaces": [""]}, "NODE"),
        ({"resources": [{"group": ""}]}, "POD LOG NODE"),
        ({"resources": [{"group": "apps"}]}, ""),
        ({"resources": [{"group": "", "resources": ["pods"]}]}, "POD"),
        ({"resources": [{"group": "", "resources": ["pods/log"]}]}, "LOG"),
        ({"resources": [{"group": "", "resources": ["pods/*"]}]}, "POD LOG"),
        ({"resources": [{"group": "", "resources": ["*/status"]}]}, "NODE"),
        ({"resources": [{"group": "", "resources": ["*"]}]}, "POD LOG NODE"),
        ({"resources": [{"group": "", "resources": ["pods"], "resourceNames": ["p"]}]}, "POD"),
        ({"resources": [{"group": "", "resources": ["pods"], "resourceNames": ["q"]}]}, ""),
        ({"nonResourceURLs": ["/healthz*"]}, "PATH"),
        ({"nonResourceURLs": ["/healthz"]}, ""),
        ({"nonResourceURLs": ["*"]}, "PATH"),
    ],
)
def test_rules(rule: dict[str, Any], matched: str) -> None:
    found = policy({"level": "Metadata", **rule})
    asked = {"POD": POD, "LOG": LOG, "NODE": NODE, "PATH": PATH}
    assert [name for name, each in asked.items() if found.wanted(JANE, each).level == "Metadata"] == matched.split()


def test_the_first_rule_decides_and_without_one_nothing_is_written() -> None:
    found = policy(
        {"level": "None", "verbs": ["get"]},
        {"level": "Request", "omitStages": ["Panic"], "omitManagedFields": False, "resources": [{"group": ""}]},
        omitStages=["RequestReceived"],
        omitManagedFields=True,
    )
    assert found.wanted(JANE, POD).level == "None"
    wanted = found.wanted(JANE, NODE)
    assert (wanted.level, wanted.omit_stages) == ("Request", {"Panic", "RequestReceived"})
    assert not wanted.omit_managed_fields
    assert found.wanted(JANE, Attributes("post", "/x")).level == "None"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"{}", "the policy is empty"),
        (b"a: [", "failed decoding"),
        (b"apiVersion: audit.k8s.io/v1beta1\nkind: Policy\nrules: [{level: None}]", "audit.k8s.io/v1 is expected"),
        (b"apiVersion: audit.k8s.io/v1\nkind: Policy", "loaded illegal policy with 0 rules"),
        (b"apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: 1}]", "failed decoding"),
    ],
)
def test_files_that_are_no_policies(text: bytes, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        Policy.parse(text)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({}, "rules[0].level: Required value"),
        (
            {"level": "Some"},
            'rules[0].level: Unsupported value: "Some": supported values: '
            '"Metadata", "None", "Request", "RequestResponse"',
        ),
        ({"level": "None", "nonResourceURLs": ["x"]}, 'non-resource URL rules must begin with a "/" character'),
        ({"level": "None", "nonResourceURLs": ["/a*b"]}, 'wildcards "*" must be the final character of the rule'),
        (
            {"level": "None", "nonResourceURLs": ["/a"], "namespaces": ["n"]},
            "rules cannot apply to both regular resources and non-resource URLs",
        ),
        ({"level": "None", "resources": [{"group": "a/v1"}]}, "group should not contain a version"),
        (
            {"level": "None", "resources": [{"resourceNames": ["a"]}]},
            "using resourceNames requires at least one resource",
        ),
        (
            {"level": "None", "omitStages": ["Late"]},
            "allowed stages are RequestReceived,ResponseStarted,ResponseComplete,Panic",
        ),
    ],
)
def test_policies_are_validated(rule: dict[str, Any], message: str) -> None:
    with pytest.raises(PolicyError) as caught:
        policy(rule)
    assert message in str(caught.value)
