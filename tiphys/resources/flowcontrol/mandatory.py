"""The FlowSchemas and levels that every cluster has, as rows.

Mandatory ones are always as they are here. Suggested ones are kept so unless
their owner has taken them over.
Source: Kubernetes docs, "API Priority and Fairness", "Mandatory configuration
objects" and "Suggested configuration objects"; values of 1.36.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from tiphys.api import flowcontrol_v1 as v1
from tiphys.api import meta_v1

AUTOUPDATE: Final = "apf.kubernetes.io/autoupdate-spec"
ANY: Final = ["*"]
WRITE: Final = ["get", "create", "update"]
ALL_GROUPS: Final = ("system:unauthenticated", "system:authenticated")
CONTROLLERS: Final = "system:kube-controller-manager"
SCHEDULER: Final = "system:kube-scheduler"

Rules = tuple[list[v1.Subject], list[v1.ResourcePolicyRule], list[v1.NonResourcePolicyRule]]

#: Name, shares, lendable per cent, and queues, hand size and length of queues (None: refuse at once).
LEVELS: Final = (
    ("system", 30, 33, (64, 6, 50)),
    ("node-high", 40, 25, (64, 6, 50)),
    ("leader-election", 10, 0, (16, 4, 50)),
    ("workload-high", 40, 50, (128, 6, 50)),
    ("workload-low", 100, 90, (128, 6, 50)),
    ("global-default", 20, 50, (128, 6, 50)),
    ("catch-all", 5, 0, None),
)
MANDATORY: Final = frozenset({"exempt", "catch-all"})


def _groups(*names: str) -> list[v1.Subject]:
    return [v1.Subject(kind="Group", group=v1.GroupSubject(name=name)) for name in names]


def _users(*names: str) -> list[v1.Subject]:
    return [v1.Subject(kind="User", user=v1.UserSubject(name=name)) for name in names]


def _accounts(*names: str) -> list[v1.Subject]:
    return [
        v1.Subject(kind="ServiceAccount", serviceAccount=v1.ServiceAccountSubject(name=name, namespace="kube-system"))
        for name in names
    ]


def _resources(
    verbs: Sequence[str], group: str, resources: Sequence[str], cluster: bool | None = None
) -> v1.ResourcePolicyRule:
    return v1.ResourcePolicyRule(
        verbs=list(verbs), apiGroups=[group], resources=list(resources), namespaces=ANY, clusterScope=cluster
    )


def _everything(subjects: list[v1.Subject]) -> Rules:
    paths = v1.NonResourcePolicyRule(verbs=ANY, nonResourceURLs=ANY)
    return subjects, [_resources(ANY, "*", ANY, True)], [paths]


_LEASES: Final = (WRITE, "coordination.k8s.io", ["leases"])


def _rows() -> list[tuple[str, str, int, str, Rules]]:
    """Name, level, precedence, what tells flows apart, rules."""
    probes = v1.NonResourcePolicyRule(verbs=["get"], nonResourceURLs=["/healthz", "/readyz", "/livez"])
    nodes = _groups("system:nodes")
    node_rules = [
        _resources(ANY, "", ["nodes", "nodes/status"], True),
        _resources(ANY, "coordination.k8s.io", ["leases"]),
    ]
    electors = [*_users(CONTROLLERS, SCHEDULER), *_accounts("*")]
    endpointers = [*_users(CONTROLLERS), *_accounts("endpoint-controller", "endpointslicemirroring-controller")]
    return [
        ("exempt", "exempt", 1, "", _everything(_groups("system:masters"))),
        ("probes", "exempt", 2, "", (_groups(*ALL_GROUPS), [], [probes])),
        ("system-leader-election", "leader-election", 100, "ByUser", (electors, [_resources(*_LEASES)], [])),
        (
            *("endpoint-controller", "workload-high", 150, "ByUser"),
            (endpointers, [_resources(WRITE, "", ["endpoints"])], []),
        ),
        ("workload-leader-election", "leader-election", 200, "ByUser", (_accounts("*"), [_resources(*_LEASES)], [])),
        ("system-node-high", "node-high", 400, "ByUser", (nodes, node_rules, [])),
        ("system-nodes", "system", 500, "ByUser", _everything(nodes)),
        ("kube-controller-manager", "workload-high", 800, "ByNamespace", _everything(_users(CONTROLLERS))),
        ("kube-scheduler", "workload-high", 800, "ByNamespace", _everything(_users(SCHEDULER))),
        ("kube-system-service-accounts", "workload-high", 900, "ByNamespace", _everything(_accounts("*"))),
        ("service-accounts", "workload-low", 9000, "ByUser", _everything(_groups("system:serviceaccounts"))),
        ("global-default", "global-default", 9900, "ByUser", _everything(_groups(*ALL_GROUPS))),
        ("catch-all", "catch-all", 10000, "ByUser", _everything(_groups(*ALL_GROUPS))),
    ]


def _metadata(name: str) -> meta_v1.ObjectMeta:
    return meta_v1.ObjectMeta(name=name, annotations={AUTOUPDATE: "true"})


def _schema(name: str, level: str, precedence: int, method: str, rules: Rules) -> v1.FlowSchema:
    subjects, resources, paths = rules
    return v1.FlowSchema(
        metadata=_metadata(name),
        spec=v1.FlowSchemaSpec(
            priorityLevelConfiguration=v1.PriorityLevelConfigurationReference(name=level),
            matchingPrecedence=precedence,
            distinguisherMethod=v1.FlowDistinguisherMethod(type=method) if method else None,
            rules=[
                v1.PolicyRulesWithSubjects(
                    subjects=subjects, resourceRules=resources or None, nonResourceRules=paths or None
                )
            ],
        ),
    )


def _level(name: str, shares: int, lendable: int, queues: tuple[int, int, int] | None) -> v1.PriorityLevelConfiguration:
    queuing = None
    if queues is not None:
        queuing = v1.QueuingConfiguration(queues=queues[0], handSize=queues[1], queueLengthLimit=queues[2])
    limited = v1.LimitedPriorityLevelConfiguration(
        nominalConcurrencyShares=shares,
        lendablePercent=lendable,
        limitResponse=v1.LimitResponse(type="Queue" if queuing else "Reject", queuing=queuing),
    )
    spec: Any = v1.PriorityLevelConfigurationSpec(type="Limited", limited=limited)
    return v1.PriorityLevelConfiguration(metadata=_metadata(name), spec=spec)


@cache
def levels() -> tuple[v1.PriorityLevelConfiguration, ...]:
    """All levels, shared and never changed."""
    exempt = v1.PriorityLevelConfiguration(
        metadata=_metadata("exempt"),
        spec=v1.PriorityLevelConfigurationSpec(
            type="Exempt",
            exempt=v1.ExemptPriorityLevelConfiguration(nominalConcurrencyShares=0, lendablePercent=0),
        ),
    )
    return (exempt, *(_level(*row) for row in LEVELS))


@cache
def schemas() -> tuple[v1.FlowSchema, ...]:
    """All FlowSchemas, shared and never changed."""
    return tuple(_schema(*row) for row in _rows())


def mandatory_levels() -> list[v1.PriorityLevelConfiguration]:
    return [each for each in levels() if each.metadata.name in MANDATORY]


def mandatory_schemas() -> list[v1.FlowSchema]:
    return [each for each in schemas() if each.metadata.name in MANDATORY]
