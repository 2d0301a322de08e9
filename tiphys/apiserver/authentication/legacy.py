"""Service account tokens that do not end, kept in Secrets: how clusters had them before bound tokens.

Such a token is good while its Secret holds it and its account exists. Its last
use is written down as the Secret's label, at most once a day, so that unused
ones can be cleaned up.
Source: Kubernetes docs, "Managing Service Accounts", "Manual Secret management
for ServiceAccounts" and "Legacy ServiceAccount token tracking"; KEP-2799.
"""

import asyncio
import hmac
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tiphys.apiserver.authentication.authenticator import Authenticated, TokenProblem
from tiphys.apiserver.seams import Objects
from tiphys.base.clock import Clock
from tiphys.machinery import codec, errors
from tiphys.store.interface import StoreError
from tiphys.wire.exchange import UserInfo

log = logging.getLogger(__name__)

LEGACY_ISSUER: Final = "kubernetes/serviceaccount"
SECRET_TYPE: Final = "kubernetes.io/service-account-token"
LAST_USED: Final = "kubernetes.io/legacy-token-last-used"
INVALID_SINCE: Final = "kubernetes.io/legacy-token-invalid-since"
AUTO_GENERATED: Final = (
    "Use tokens from the TokenRequest API or manually created secret-based tokens instead of auto-generated "
    "secret-based tokens."
)
_CLAIM: Final = "kubernetes.io/serviceaccount/"


class LegacyTokens:
    """Judges claims whose signature is good."""

    def __init__(self, objects: Objects, clock: Clock, audiences: Sequence[str], *, lookup: bool = True) -> None:
        self._objects = objects
        self._clock = clock
        self._audiences = tuple(audiences)
        self._lookup = lookup
        self._marking: set[asyncio.Task[None]] = set()

    async def authenticate(self, token: str, raw: Mapping[str, Any], audiences: Sequence[str]) -> Authenticated:
        """Raises TokenProblem."""
        claims = {name.removeprefix(_CLAIM): str(value) for name, value in raw.items() if name.startswith(_CLAIM)}
        namespace, name = claims.get("namespace", ""), claims.get("service-account.name", "")
        uid, secret_name = claims.get("service-account.uid", ""), claims.get("secret.name", "")
        if raw.get("sub") != f"system:serviceaccount:{namespace}:{name}":
            raise TokenProblem("sub claim is invalid")
        for value, what in ((namespace, "namespace"), (secret_name, "secretName"), (name, "serviceAccountName")):
            if not value:
                raise TokenProblem(f"{what} claim is missing")
        if not uid:
            raise TokenProblem("serviceAccountUID claim is missing")
        # They name no audience: they are for the API server.
        matching = tuple(one for one in audiences if one in self._audiences)
        if audiences and not matching:
            raise TokenProblem(f"token audiences are invalid for the target audiences {list(audiences)}")
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
        user = UserInfo(f"system:serviceaccount:{namespace}:{name}", uid, groups)
        warnings = self._looked_up(token, namespace, name, uid, secret_name) if self._lookup else ()
        return Authenticated(user, matching, warnings)

    def _looked_up(self, token: str, namespace: str, name: str, uid: str, secret_name: str) -> tuple[str, ...]:
        """Warnings about a token that is good. Raises TokenProblem if Secret or account say that it is not."""
        secret = self._objects.find("", "secrets", namespace, secret_name)
        if secret is None or secret.metadata.deletionTimestamp:
            raise TokenProblem("service account token has been invalidated")
        if not hmac.compare_digest((secret.data or {}).get("token", b""), token.encode("utf-8", "replace")):
            raise TokenProblem("service account token does not match server's copy")
        account = self._objects.find("", "serviceaccounts", namespace, name)
        if account is None:
            raise TokenProblem(f'serviceaccounts "{name}" not found')
        if account.metadata.deletionTimestamp:
            raise TokenProblem(f"service account {namespace}/{name} has been deleted")
        if account.metadata.uid != uid:
            raise TokenProblem(f"service account UID ({account.metadata.uid}) does not match claim ({uid})")
        if secret.metadata.labels.get(INVALID_SINCE):
            raise TokenProblem(
                f"the token in secret {namespace}/{secret_name} for service account {namespace}/{name} has been marked "
                "invalid. Use tokens from the TokenRequest API or manually created secret-based tokens, or remove the "
                f"'{INVALID_SINCE}' label from the secret to temporarily allow use of this token"
            )
        self._mark_used(secret)
        generated = any(reference.name == secret_name for reference in account.secrets or ())
        return (AUTO_GENERATED,) if generated else ()

    def _mark_used(self, secret: Any) -> None:
        today = self._clock.now().strftime("%Y-%m-%d")
        if secret.metadata.labels.get(LAST_USED, "") >= today:
            return
        task = asyncio.create_task(self._write(secret, today), name="legacy-token-last-used")
        self._marking.add(task)
        task.add_done_callback(self._marking.discard)

    async def _write(self, secret: Any, today: str) -> None:
        mine = codec.copy(secret)
        mine.metadata.labels[LAST_USED] = today
        try:
            await self._objects.update(mine)
        except (errors.StatusError, StoreError) as problem:
            # The request is good without it; the next use tries again.
            log.info("the use of a token was not written down", extra={"problem": str(problem)})

    async def close(self) -> None:
        await asyncio.gather(*self._marking, return_exceptions=True)
