"""Users by the word of a webhook that is shown their tokens.

Source: Kubernetes docs, "Authenticating", Webhook Token Authentication.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from tiphys.api import authentication_v1
from tiphys.apiserver.authentication.authenticator import Authenticated, TokenProblem, with_authenticated
from tiphys.apiserver.remote import Remote, RemoteError
from tiphys.base.clock import Clock
from tiphys.machinery import codec
from tiphys.wire.exchange import UserInfo

GROUP: Final = "authentication.k8s.io"


class TokenWebhook:
    """Asks about each token; ``caching`` stands before it."""

    def __init__(self, remote: Remote, version: str, own: tuple[str, ...], clock: Clock) -> None:
        self._remote = remote
        self._version = version
        self._own = own
        self._clock = clock

    async def authenticate_token(self, token: str, audiences: Sequence[str]) -> Authenticated | None:
        spec = {"token": token, **({"audiences": list(audiences)} if audiences else {})}
        question = {"kind": "TokenReview", "apiVersion": f"{GROUP}/{self._version}", "spec": spec}
        try:
            answer = await self._remote.post_patiently(msgspec.json.encode(question), self._clock)
            status = codec.decode(authentication_v1.TokenReview, answer).status
        except (RemoteError, codec.DecodeError) as problem:
            raise TokenProblem(str(problem)) from problem
        if not status.authenticated:
            if status.error:
                raise TokenProblem(status.error)
            return None
        # One that says nothing of audiences speaks of the API server's own.
        said = status.audiences or self._own
        matching = tuple(one for one in audiences if one in said)
        if audiences and not matching:
            return None
        return Authenticated(_user(status.user or authentication_v1.UserInfo()), matching)

    async def close(self) -> None:
        await self._remote.close()


def _user(found: authentication_v1.UserInfo) -> UserInfo:
    """Raises TokenProblem if it is nobody."""
    if not found.username:
        raise TokenProblem("the webhook named no user")
    extra = {key: tuple(values) for key, values in (found.extra or {}).items()}
    return UserInfo(found.username, found.uid or "", with_authenticated(found.groups or ()), extra)
