"""What authenticators have in common: what they answer, and where credentials stand in a request."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from tiphys.machinery import errors
from tiphys.wire.exchange import UserInfo

AUTHENTICATED: Final = "system:authenticated"
UNAUTHENTICATED: Final = "system:unauthenticated"
CREDENTIAL_ID: Final = "authentication.kubernetes.io/credential-id"
#: Longer ones are nobody's; what remembers tokens is bounded by this.
TOKEN_BYTES_MAX: Final = 16 * 1024
#: A WebSocket subprotocol that carries a token; it is never negotiated and never passed on.
WEBSOCKET_TOKEN_PREFIX: Final = "base64url.bearer.authorization.k8s.io."


class TokenProblem(Exception):
    """The token is none of ours, or no longer good; the text is for logs and TokenReviews."""


class Authenticated(NamedTuple):
    """Whose credentials these are, and which of the audiences asked for they are good for."""

    user: UserInfo
    audiences: tuple[str, ...] = ()
    #: For the client, as ``Warning`` headers.
    warnings: tuple[str, ...] = ()


class TokenAuthenticator(Protocol):
    """One kind of bearer token."""

    async def authenticate_token(self, token: str, audiences: Sequence[str]) -> Authenticated | None:
        """Whose token it is; None if it is not of this kind. ``audiences`` are the wanted ones, never empty unless
        the server has none. Raises TokenProblem if it is of this kind and not good."""


def with_authenticated(groups: Sequence[str]) -> tuple[str, ...]:
    """``groups`` and that of all who are known, unless they say that they are not."""
    if AUTHENTICATED in groups or UNAUTHENTICATED in groups:
        return tuple(groups)
    return (*groups, AUTHENTICATED)


def bearer_token(headers: Mapping[str, str]) -> str:
    """The token of an Authorization header, or of a WebSocket's subprotocol (browsers can set nothing else)."""
    scheme, _, token = headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    if "sec-websocket-protocol" not in headers:
        return ""
    for protocol in headers["sec-websocket-protocol"].split(","):
        encoded = protocol.strip().removeprefix(WEBSOCKET_TOKEN_PREFIX)
        if encoded != protocol.strip():
            try:
                return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
            except (binascii.Error, ValueError):
                raise errors.Unauthorized from None
    return ""


def basic_credentials(headers: Mapping[str, str]) -> tuple[str, str] | None:
    """User and password of an Authorization header. Raises TokenProblem if they cannot be read."""
    scheme, _, encoded = headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, found, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        raise TokenProblem("invalid basic authentication") from None
    if not found:
        raise TokenProblem("invalid basic authentication")
    return name, password
