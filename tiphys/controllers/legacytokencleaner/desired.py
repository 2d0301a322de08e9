"""Which generated tokens are to be marked invalid, and which of the marked ones deleted.

Source: KEP-2800; Kubernetes docs, "Managing Service Accounts", "Legacy ServiceAccount token cleaner".
"""

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from enum import Enum
from typing import Any, Final

from tiphys.api import core_v1
from tiphys.machinery import times

LAST_USED: Final = "kubernetes.io/legacy-token-last-used"
INVALID_SINCE: Final = "kubernetes.io/legacy-token-invalid-since"
ACCOUNT_UID: Final = "kubernetes.io/service-account.uid"
PERIOD: Final = timedelta(days=365)


class Action(Enum):
    MARK = "mark"
    DELETE = "delete"


def tracked_since(config_map: core_v1.ConfigMap | None) -> date | None:
    """From which day on uses are written down for sure; None if that is not known."""
    try:
        return date.fromisoformat((config_map.data or {})["since"]) + timedelta(days=1) if config_map else None
    except (KeyError, ValueError):
        return None


def desired(
    secret: core_v1.Secret,
    account: core_v1.ServiceAccount | None,
    mounted: Iterable[str],
    since: date | None,
    now: datetime,
    period: timedelta = PERIOD,
) -> Action | None:
    """``mounted`` are the names of the Secrets that Pods of the namespace use."""
    limit = now - period
    created = secret.metadata.creationTimestamp
    if since is None or since > limit.date() or not created or times.parse(created) >= limit:
        return None
    if account is None or not _is_generated(secret, account) or secret.metadata.name in mounted:
        return None
    labels = secret.metadata.labels
    day = limit.date().isoformat()
    if labels.get(LAST_USED, "") >= day:
        return None
    invalid = labels.get(INVALID_SINCE, "")
    if not invalid:
        return Action.MARK
    return None if invalid >= day else Action.DELETE


def _is_generated(secret: core_v1.Secret, account: core_v1.ServiceAccount) -> bool:
    """Whether the account lists it; those that people have made are theirs to clean up."""
    same = secret.metadata.annotations.get(ACCOUNT_UID, account.metadata.uid) == account.metadata.uid
    return same and any(reference.name == secret.metadata.name for reference in account.secrets or ())


def secrets_of(pod: core_v1.Pod) -> set[str]:
    """The names of the Secrets that a Pod mounts."""
    found: set[Any] = set()
    for volume in pod.spec.volumes or ():
        if volume.secret is not None:
            found.add(volume.secret.secretName)
        for source in (volume.projected.sources if volume.projected is not None else None) or ():
            if source.secret is not None:
                found.add(source.secret.name)
    return {name for name in found if name}
