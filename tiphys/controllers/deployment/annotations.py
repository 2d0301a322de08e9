"""What the controller notes on ReplicaSets and Deployments, in annotations. Pure: each returns a new mapping."""

from collections.abc import Mapping

from tiphys.api import apps_v1

REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED_REPLICAS = "deployment.kubernetes.io/desired-replicas"
MAX_REPLICAS = "deployment.kubernetes.io/max-replicas"
#: Not copied from a Deployment to its ReplicaSets: they describe one of the two only.
OWN = frozenset(
    {
        "kubectl.kubernetes.io/last-applied-configuration",
        "deprecated.deployment.rollback.to",
        REVISION,
        REVISION_HISTORY,
        DESIRED_REPLICAS,
        MAX_REPLICAS,
    }
)
#: The history annotation is cut at the front to stay below this.
HISTORY_CHARACTERS = 2000


def revision(obj: apps_v1.Deployment | apps_v1.ReplicaSet) -> int:
    """The revision number; 0 if there is none, or nothing that is a number."""
    return _number(obj.metadata.annotations.get(REVISION, ""))


def number_of(rs: apps_v1.ReplicaSet, annotation: str) -> int | None:
    text = rs.metadata.annotations.get(annotation)
    return int(text) if text is not None and text.isascii() and text.isdigit() else None


def for_new_replica_set(
    deployment: apps_v1.Deployment, current: Mapping[str, str], new_revision: int
) -> dict[str, str]:
    """``current`` annotations of the new ReplicaSet, brought up to date with the Deployment's.

    A ReplicaSet that served before and serves again, after an undo, gets the new
    revision; the old one joins its history.
    """
    result = dict(current)
    result.update((k, v) for k, v in deployment.metadata.annotations.items() if k not in OWN)
    old = current.get(REVISION)
    if _number(old or "") < new_revision:
        result[REVISION] = str(new_revision)
        if old is not None:
            result[REVISION_HISTORY] = _appended(current.get(REVISION_HISTORY, ""), old)
    return result


def with_sizes(current: Mapping[str, str], desired: int, maximum: int) -> dict[str, str]:
    """``current`` plus the sizes that a later proportional scaling reckons from."""
    return {**current, DESIRED_REPLICAS: str(desired), MAX_REPLICAS: str(maximum)}


def _appended(history: str, old: str) -> str:
    entries = [entry for entry in history.split(",") if entry]
    entries.append(old)
    while len(entries) > 1 and len(",".join(entries)) >= HISTORY_CHARACTERS:
        entries.pop(0)
    return ",".join(entries)


def _number(text: str) -> int:
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdigit() else 0
