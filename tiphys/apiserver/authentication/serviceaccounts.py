"""Service account tokens: signed, checked, and published as OpenID Connect keys.

A token is a JWT whose private claims name the service account and the object it
is bound to; it is good while both still exist with the same uid, and until it
expires. Signatures are checked once per token and remembered, what may change
(existence, time) on every use. Tokens of older clusters, kept in Secrets, are
``legacy``'s to judge.
Source: Kubernetes docs, "Managing Service Accounts", "Bound service account
tokens"; KEP-1205 Bound Service Account Tokens; KEP-1393 OIDC discovery.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import jwt
import msgspec

from tiphys.apiserver.authentication import keys
from tiphys.apiserver.authentication.authenticator import (
    CREDENTIAL_ID,
    TOKEN_BYTES_MAX,
    Authenticated,
    TokenProblem,
)
from tiphys.apiserver.authentication.legacy import LEGACY_ISSUER, LegacyTokens
from tiphys.apiserver.config import SecurityConfig
from tiphys.apiserver.seams import Objects
from tiphys.base.clock import Clock
from tiphys.base.ids import Ids
from tiphys.machinery import times
from tiphys.wire.exchange import UserInfo

CLAIM: Final = "kubernetes.io"
# Tokens that were seen, so that their signature need not be checked again.
REMEMBERED_MAX: Final = 4096
#: How far a token's beginning may lie ahead, and a deletion behind, as clocks of several servers differ.
LEEWAY_SECONDS: Final = 60
SUBJECT_PREFIX: Final = "system:serviceaccount:"


class Reference(msgspec.Struct, frozen=True):
    """One object, as claims name it."""

    name: str = ""
    uid: str = ""


class Private(msgspec.Struct, frozen=True, omit_defaults=True):
    """The claims below ``kubernetes.io``."""

    namespace: str = ""
    serviceaccount: Reference | None = None
    pod: Reference | None = None
    secret: Reference | None = None
    node: Reference | None = None
    warnafter: int = 0


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token with a good signature says."""

    audiences: tuple[str, ...]
    not_before: float
    expires: float
    private: Private
    user: UserInfo


def user_of(namespace: str, name: str, uid: str, extra: Mapping[str, Sequence[str]] | None = None) -> UserInfo:
    """The user that a service account is."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
    return UserInfo(f"system:serviceaccount:{namespace}:{name}", uid, groups, extra or {})


class Tokens:
    """Signs tokens with one key, checks those of several keys and issuers."""

    def __init__(
        self, config: SecurityConfig, objects: Objects, clock: Clock, ids: Ids, legacy: LegacyTokens | None = None
    ) -> None:
        """Raises OSError, keys.KeyProblem."""
        self._signing = keys.private_key(config.service_account_key)
        self._signing_key = keys.key_of(self._signing.public_key())
        listed = [key for path in config.service_account_key_files for key in keys.public_keys(path)]
        # As kube-apiserver has it: with keys given for checking, the one that signs is not among them by itself.
        self.keys = keys.distinct(listed or [self._signing_key])
        self._objects = objects
        self._clock = clock
        self._ids = ids
        self._legacy = legacy
        self._issuers = config.issuers
        self._jwks_uri = config.service_account_jwks_uri or f"{config.issuers[0].rstrip('/')}/openid/v1/jwks"
        #: Audiences of the API server itself; a token must name one of them to be let in.
        self.audiences = config.api_audiences or self._issuers
        self.expiration_max_seconds = int(config.service_account_expiration_max_seconds)
        self.extends_expiration = config.service_account_extend_expiration
        self._remembered: dict[str, Claims] = {}

    async def authenticate_token(self, token: str, audiences: Sequence[str]) -> Authenticated | None:
        """None if the token's issuer is not one of ours."""
        if token in self._remembered:
            return self.check(token, audiences)
        issuer = unverified_issuer(token)
        if issuer == LEGACY_ISSUER and self._legacy is not None:
            return await self._legacy.authenticate(token, self._verified(token), audiences)
        return self.check(token, audiences) if issuer in self._issuers else None

    def remembered(self, token: str) -> UserInfo | None:
        """The user of a token that was seen before and is good now; None if it has to be looked at.

        Without ``await``, for the path that most requests take.
        """
        if token not in self._remembered:
            return None
        return self.check(token, self.audiences).user

    def sign(self, private: Private, subject: str, audiences: Sequence[str], lifetime_seconds: int) -> str:
        """A new token, good from now on."""
        now = int(self._clock.now().timestamp())
        claims = {
            "aud": list(audiences),
            "exp": now + lifetime_seconds,
            "iat": now,
            "iss": self._issuers[0],
            "jti": self._ids.uid(),
            CLAIM: msgspec.to_builtins(private),
            "nbf": now,
            "sub": subject,
        }
        return jwt.encode(
            claims, self._signing, self._signing_key.algorithm, headers={"kid": self._signing_key.id, "typ": None}
        )

    def check(self, token: str, audiences: Sequence[str] = ()) -> Authenticated:
        """The service account's user, and which of ``audiences`` (by default the API server's) the token is for.

        Raises TokenProblem.
        """
        claims = self._remembered.get(token) or self._read(token)
        wanted = tuple(audiences) or self.audiences
        matching = tuple(audience for audience in wanted if audience in claims.audiences)
        if not matching:
            raise TokenProblem(
                f"token audiences {_go_list(claims.audiences)} is invalid for the target audiences {_go_list(wanted)}"
            )
        now = self._clock.now().timestamp()
        if now >= claims.expires:
            self._remembered.pop(token, None)
            raise TokenProblem("service account token has expired")
        if now + LEEWAY_SECONDS < claims.not_before:
            raise TokenProblem("service account token is not valid yet")
        self._check_objects(claims.private)
        return Authenticated(claims.user, matching)

    def _read(self, token: str) -> Claims:
        """Check form and signature. Raises TokenProblem."""
        raw = self._verified(token)
        if raw.get("iss") not in self._issuers:
            raise TokenProblem("invalid bearer token: invalid issuer")
        try:
            private = msgspec.convert(raw.get(CLAIM, {}), Private)
            claims = _claims(raw, private)
        except (msgspec.ValidationError, ValueError, TypeError, LookupError) as problem:
            raise TokenProblem(f"invalid bearer token: {problem}") from problem
        if len(self._remembered) >= REMEMBERED_MAX:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[token] = claims
        return claims

    def _verified(self, token: str) -> dict[str, Any]:
        """The claims of a token with a good signature, of whatever issuer. Raises TokenProblem."""
        if len(token) > TOKEN_BYTES_MAX:
            raise TokenProblem("token is too long")
        try:
            identity = jwt.get_unverified_header(token).get("kid")
        except (jwt.PyJWTError, ValueError, RecursionError) as problem:
            raise TokenProblem(f"invalid bearer token: {problem}") from problem
        named = [key for key in self.keys if key.id == identity]
        last: Exception | None = None
        for key in named or self.keys:
            try:
                # Time is the caller's clock, compared on every use; audiences differ between uses.
                options: Any = dict.fromkeys(("verify_exp", "verify_nbf", "verify_iat", "verify_aud"), False)
                found: dict[str, Any] = jwt.decode(token, key.public, algorithms=[key.algorithm], options=options)
                return found
            except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as problem:
                last = problem
        raise TokenProblem(f"invalid bearer token: {last}") from last

    def _check_objects(self, private: Private) -> None:
        """Raises TokenProblem if what the token speaks of is gone or another one by now."""
        account = private.serviceaccount or Reference()
        namespace = private.namespace
        self._check_object("serviceaccounts", "ServiceAccount", namespace, account)
        if private.pod is not None:
            self._check_object("pods", "Pod", namespace, private.pod)
        if private.secret is not None:
            self._check_object("secrets", "Secret", namespace, private.secret)
        # With a Pod the node is only told, not bound to.
        if private.node is not None and private.pod is None:
            self._check_object("nodes", "Node", "", private.node)

    def _check_object(self, plural: str, kind: str, namespace: str, reference: Reference) -> None:
        found = self._objects.find("", plural, namespace, reference.name)
        if found is None:
            raise TokenProblem(f"{kind.lower()} {namespace}/{reference.name} has been deleted")
        if found.metadata.deletionTimestamp and self._is_over(found.metadata.deletionTimestamp):
            raise TokenProblem(f"{kind.lower()} {namespace}/{reference.name} has been deleted")
        if found.metadata.uid != reference.uid:
            raise TokenProblem(f"{kind} UID ({found.metadata.uid}) does not match claim ({reference.uid})")

    def _is_over(self, deletion: str) -> bool:
        """Whether what goes at ``deletion`` (its grace period's end) should have gone by now; finalizers keep it."""
        return self._clock.now().timestamp() > times.parse(deletion).timestamp() + LEEWAY_SECONDS

    def configuration(self) -> bytes:
        """The OpenID provider's configuration."""
        return msgspec.json.encode(
            {
                "issuer": self._issuers[0],
                "jwks_uri": self._jwks_uri,
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": sorted({key.algorithm for key in self.keys}),
            }
        )

    def key_set(self) -> bytes:
        """The public keys as a JSON Web Key Set."""
        return msgspec.json.encode({"keys": [keys.web_key(key) for key in self.keys]})


def unverified_issuer(token: str) -> str:
    """Who a token says has issued it; empty if it is no token. Nothing is proven by that."""
    if len(token) > TOKEN_BYTES_MAX or token.count(".") != 2:
        return ""
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, RecursionError):
        return ""
    issuer = claims.get("iss")
    return issuer if isinstance(issuer, str) else ""


def _go_list(values: Sequence[str]) -> str:
    return "[" + " ".join(f'"{value}"' for value in values) + "]"


def _claims(raw: Mapping[str, Any], private: Private) -> Claims:
    """Raises TokenProblem if a claim is missing or does not agree with the others."""
    account = private.serviceaccount
    if account is None or not private.namespace or not account.name or not account.uid:
        raise TokenProblem("token could not be validated")
    if raw.get("sub") != f"{SUBJECT_PREFIX}{private.namespace}:{account.name}":
        raise TokenProblem("sub claim is invalid")
    audience = raw.get("aud", [])
    audiences = (audience,) if isinstance(audience, str) else tuple(str(one) for one in audience)
    identifier = str(raw.get("jti", ""))
    extra: dict[str, Sequence[str]] = {}
    if identifier:
        extra[CREDENTIAL_ID] = (f"JTI={identifier}",)
    for kind, reference in (("pod", private.pod), ("node", private.node)):
        if reference is not None:
            extra[f"authentication.kubernetes.io/{kind}-name"] = (reference.name,)
            extra[f"authentication.kubernetes.io/{kind}-uid"] = (reference.uid,)
    user = user_of(private.namespace, account.name, account.uid, extra)
    return Claims(audiences, float(raw.get("nbf", 0)), float(raw["exp"]), private, user)
