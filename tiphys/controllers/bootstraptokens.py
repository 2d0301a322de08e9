"""Bootstrap tokens as controllers see them: Secrets of ``kube-system`` of a type of their own.

Source: Kubernetes docs, "Authenticating with Bootstrap Tokens".
"""

from datetime import datetime
from typing import Final

from tiphys.api import core_v1
from tiphys.machinery import times

NAMESPACE: Final = "kube-system"
SECRET_TYPE: Final = "bootstrap.kubernetes.io/token"
SECRET_PREFIX: Final = "bootstrap-token-"


def text(secret: core_v1.Secret, key: str) -> str:
    """A value of the Secret; empty if it is not there."""
    return (secret.data or {}).get(key, b"").decode("utf-8", "replace")


def seconds_left(secret: core_v1.Secret, now: datetime) -> float | None:
    """Until the token ends; None if it never does. A time that cannot be read is over."""
    expiration = text(secret, "expiration")
    if not expiration:
        return None
    try:
        return (times.parse(expiration) - now).total_seconds()
    except ValueError:
        return 0.0
