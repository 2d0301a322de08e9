"""Users by the tokens of other issuers: OpenID Connect.

A token is for us if it names our issuer. Its signature is checked with the
issuer's keys and with asymmetric algorithms alone, whatever the token says, so
that a public key is never taken for a shared secret.
Source: Kubernetes docs, "Authenticating", OpenID Connect Tokens; KEP-3331
Structured Authentication Config.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import jwt

from tiphys.apiserver.authentication.authenticator import CREDENTIAL_ID, Authenticated, TokenProblem, with_authenticated
from tiphys.apiserver.authentication.keysets import KeySet, KeySetProblem
from tiphys.apiserver.authentication.mapping import Mapping
from tiphys.apiserver.authentication.serviceaccounts import unverified_issuer
from tiphys.base.clock import Clock
from tiphys.machinery.goformat import quote
from tiphys.wire.exchange import UserInfo

#: What ``--oidc-signing-algs`` may name.
ASYMMETRIC: Final = ("ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512")
#: As go-oidc has it: how far a token's beginning may lie ahead.
NOT_BEFORE_LEEWAY_SECONDS: Final = 300


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who issues the tokens, and for whom."""

    url: str
    audiences: tuple[str, ...]
    signing_algs: tuple[str, ...] = ("RS256",)


class OidcTokens:
    """Tokens of one issuer."""

    def __init__(self, issuer: Issuer, keys: KeySet, mapping: Mapping, clock: Clock) -> None:
        self._issuer = issuer
        self._keys = keys
        self._mapping = mapping
        self._clock = clock

    async def authenticate_token(self, token: str, audiences: Sequence[str]) -> Authenticated | None:
        if unverified_issuer(token) != self._issuer.url:
            return None
        claims = await self._verified(token)
        self._check(claims)
        user = self._mapping.user(claims)
        identity = claims.get("jti")
        extra = dict(user.extra)
        if isinstance(identity, str) and identity:
            extra[CREDENTIAL_ID] = (f"JTI={identity}",)
        return Authenticated(UserInfo(user.name, user.uid, with_authenticated(user.groups), extra))

    async def _verified(self, token: str) -> dict[str, Any]:
        """The claims of a token with a good signature. Raises TokenProblem."""
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError, RecursionError) as problem:
            raise TokenProblem(f"oidc: verify token: oidc: malformed jwt: {problem}") from problem
        algorithm = header.get("alg")
        if algorithm not in self._issuer.signing_algs:
            expected = "[" + " ".join(map(quote, self._issuer.signing_algs)) + "]"
            raise TokenProblem(
                "oidc: verify token: oidc: id token signed with unsupported algorithm, "
                f"expected {expected} got {quote(str(algorithm))}"
            )
        try:
            keys = await self._keys.keys_for(header.get("kid"))
        except KeySetProblem as problem:
            raise TokenProblem(f"oidc: verify token: fetching keys {problem}") from problem
        options: Any = dict.fromkeys(("verify_exp", "verify_nbf", "verify_iat", "verify_aud"), False)
        for key in keys:
            try:
                found: dict[str, Any] = jwt.decode(token, key.key, algorithms=[algorithm], options=options)
                return found
            except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
                continue
        raise TokenProblem("oidc: verify token: failed to verify signature: failed to verify id token signature")

    def _check(self, claims: dict[str, Any]) -> None:
        """Raises TokenProblem if it is for others, or not for now."""
        audience = claims.get("aud", [])
        named = audience if isinstance(audience, list) else [audience]
        if not set(map(str, named)) & set(self._issuer.audiences):
            shown = "[" + " ".join(quote(str(one)) for one in named) + "]"
            wanted = ", ".join(map(quote, self._issuer.audiences))
            raise TokenProblem(f"oidc: verify token: oidc: expected audience {wanted} got {shown}")
        now = self._clock.now().timestamp()
        expires, begins = claims.get("exp"), claims.get("nbf", 0)
        if not isinstance(expires, int | float) or now >= expires:
            raise TokenProblem(f"oidc: verify token: oidc: token is expired (Token Expiry: {expires})")
        if not isinstance(begins, int | float) or now + NOT_BEFORE_LEEWAY_SECONDS < begins:
            raise TokenProblem(f"oidc: verify token: oidc: current time {now:.0f} before the nbf (not before) time")

    async def close(self) -> None:
        await self._keys.close()
