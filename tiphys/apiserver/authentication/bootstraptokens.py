"""Users by bootstrap token: what a machine shows before it has a certificate.

Source: Kubernetes docs, "Authenticating with Bootstrap Tokens".
"""

import hmac
import re
from collections.abc import Sequence
from typing import Any, Final

from tiphys.apiserver.authentication.authenticator import Authenticated, with_authenticated
from tiphys.apiserver.seams import Objects
from tiphys.base.clock import Clock
from tiphys.machinery import times
from tiphys.wire.exchange import UserInfo

NAMESPACE: Final = "kube-system"
SECRET_TYPE: Final = "bootstrap.kubernetes.io/token"
SECRET_PREFIX: Final = "bootstrap-token-"
USER_PREFIX: Final = "system:bootstrap:"
GROUP: Final = "system:bootstrappers"
_TOKEN: Final = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")
_GROUP: Final = re.compile(r"system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]")


class BootstrapTokens:
    """Tokens that Secrets of ``kube-system`` describe."""

    def __init__(self, objects: Objects, clock: Clock) -> None:
        self._objects = objects
        self._clock = clock

    async def authenticate_token(self, token: str, audiences: Sequence[str]) -> Authenticated | None:
        matched = _TOKEN.fullmatch(token)
        if matched is None:
            return None
        identity, secret = matched.groups()
        found = self._objects.find("", "secrets", NAMESPACE, SECRET_PREFIX + identity)
        if found is None or found.metadata.deletionTimestamp or found.type != SECRET_TYPE:
            return None
        groups = self._groups(found, identity, secret)
        if groups is None:
            return None
        return Authenticated(UserInfo(USER_PREFIX + identity, groups=with_authenticated(groups)), tuple(audiences))

    def _groups(self, found: Any, identity: str, secret: str) -> list[str] | None:
        """The groups that the Secret gives to whoever knows ``secret``; None if it gives none."""
        if not hmac.compare_digest(_text(found, "token-secret").encode(), secret.encode()):
            return None
        if _text(found, "token-id") != identity or _text(found, "usage-bootstrap-authentication") != "true":
            return None
        if self._is_expired(_text(found, "expiration")):
            return None
        extra = {part.strip() for part in _text(found, "auth-extra-groups").split(",") if part.strip()}
        if not all(map(_GROUP.fullmatch, extra)):
            return None
        return sorted({GROUP, *extra})

    def _is_expired(self, text: str) -> bool:
        if not text:
            return False
        try:
            return self._clock.now() > times.parse(text)
        except ValueError:
            # Who wrote it meant it to end at some time.
            return True


def _text(secret: Any, key: str) -> str:
    return (secret.data or {}).get(key, b"").decode("utf-8", "replace")  # type: ignore[no-any-return]
