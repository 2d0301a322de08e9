"""What the status of a namespace says while it is emptied. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from tiphys.api import core_v1
from tiphys.machinery import conditions

FINALIZER = "kubernetes"


@dataclass(slots=True)
class Remains:
    """What is still there after everything was asked to go."""

    #: Resource (``deployments.apps``) -> how many.
    counts: dict[str, int] = field(default_factory=dict)
    #: Finalizer -> on how many objects.
    finalizers: dict[str, int] = field(default_factory=dict)
    #: What could not be listed or deleted.
    failures: list[str] = field(default_factory=list)
    #: Versions of which nobody knows whether there is anything of them in the namespace.
    undiscovered: list[str] = field(default_factory=list)
    #: Seconds that the slowest Pod may take.
    grace_seconds: int = 0

    @property
    def empty(self) -> bool:
        return not self.counts and not self.failures and not self.undiscovered


def status(namespace: core_v1.Namespace, remains: Remains, now: datetime) -> core_v1.NamespaceStatus:
    listed = namespace.status.conditions
    for wanted in _conditions(remains):
        found = conditions.find_condition(listed, wanted.type)
        unchanged = found is not None and (found.status, found.reason, found.message) == (
            wanted.status,
            wanted.reason,
            wanted.message,
        )
        if not unchanged:
            listed = conditions.set_condition(listed, wanted, now)
    return core_v1.NamespaceStatus(phase="Terminating", conditions=listed)


def _conditions(remains: Remains) -> list[core_v1.NamespaceCondition]:
    return [
        _discovery_failure(remains.undiscovered),
        _condition(
            "NamespaceDeletionGroupVersionParsingFailure",
            "",
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        ),
        _content_failure(remains.failures),
        _condition(
            "NamespaceContentRemaining",
            _some(
                "Some resources are remaining: ",
                "{} has {} resource instances",
                {f"{name}." if "." not in name else name: count for name, count in remains.counts.items()},
            ),
            "SomeResourcesRemain" if remains.counts else "ContentRemoved",
            "All content successfully removed",
        ),
        _condition(
            "NamespaceFinalizersRemaining",
            _some(
                "Some content in the namespace has finalizers remaining: ",
                "{} in {} resource instances",
                remains.finalizers,
            ),
            "SomeFinalizersRemain" if remains.finalizers else "ContentHasNoFinalizers",
            "All content-preserving finalizers finished",
        ),
    ]


def _discovery_failure(undiscovered: list[str]) -> core_v1.NamespaceCondition:
    found = ", ".join(f"{version}: stale GroupVersion discovery: {version}" for version in undiscovered)
    count = f"Discovery failed for some groups, {len(undiscovered)} failing: "
    return _condition(
        "NamespaceDeletionDiscoveryFailure",
        f"{count}unable to retrieve the complete list of server APIs: {found}" if undiscovered else "",
        "DiscoveryFailed" if undiscovered else "ResourcesDiscovered",
        "All resources successfully discovered",
    )


def _content_failure(failures: list[str]) -> core_v1.NamespaceCondition:
    return _condition(
        "NamespaceDeletionContentFailure",
        f"Failed to delete all resource types, {len(failures)} remaining: {', '.join(failures)}" if failures else "",
        "ContentDeletionFailed" if failures else "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    )


def _some(head: str, form: str, counts: Mapping[str, int]) -> str:
    return head + ", ".join(form.format(name, count) for name, count in sorted(counts.items())) if counts else ""


def _condition(condition_type: str, problem: str, reason: str, fine: str) -> core_v1.NamespaceCondition:
    return core_v1.NamespaceCondition(
        type=condition_type, status="True" if problem else "False", reason=reason, message=problem or fine
    )
