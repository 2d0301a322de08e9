"""Service account tokens: signed, checked, and published as OpenID Connect keys.

A token is a JWT (RS256) whose private claims name the service account and the
object it is bound to; it is good while both still exist with the same uid, and
until it expires. Signatures are checked once per token and remembered, what
may change (existence, time) on every use.
Source: Kubernetes docs, "Managing Service Accounts", "Bound service account
tokens"; KEP-1205 Bound Service Account Tokens; KEP-1393 OIDC discovery.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jwt
import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tiphys.apiserver.config import SecurityConfig
from tiphys.apiserver.seams import Objects
from tiphys.base.clock import Clock
from tiphys.base.ids import Ids
from tiphys.wire.exchange import UserInfo

CLAIM: Final = "kubernetes.io"
ALGORITHM: Final = "RS256"
ISSUER: Final = SecurityConfig().issuer
# Tokens that were seen, so that their signature need not be checked again.
REMEMBERED_MAX: Final = 4096
TOKEN_BYTES_MAX: Final = 16 * 1024


class TokenProblem(Exception):
    """The token is none of ours, or no longer good; the text is for logs and TokenReviews."""


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
    """Signs and checks tokens with one key."""

    def __init__(
        self,
        key: rsa.RSAPrivateKey,
        objects: Objects,
        clock: Clock,
        ids: Ids,
        issuer: str = ISSUER,
        audiences: Sequence[str] = (),
    ) -> None:
        self._key = key
        self._public = key.public_key()
        self._objects = objects
        self._clock = clock
        self._ids = ids
        self._issuer = issuer
        #: Audiences of the API server itself; a token must name one of them to be let in.
        self.audiences = tuple(audiences) or (issuer,)
        self._key_id = key_id(self._public)
        self._remembered: dict[str, Claims] = {}

    @classmethod
    def from_file(cls, path: str, objects: Objects, clock: Clock, ids: Ids, issuer: str = ISSUER) -> "Tokens":
        """Signs with the key in a PEM file. Raises OSError, or ValueError if it holds no RSA key."""
        key = serialization.load_pem_private_key(Path(path).read_bytes(), password=None)
        if not isinstance(key, rsa.RSAPrivateKey):
            raise ValueError(f"{path} holds no RSA key")
        return cls(key, objects, clock, ids, issuer)

    def sign(self, private: Private, subject: str, audiences: Sequence[str], lifetime_seconds: int) -> str:
        """A new token, good from now on."""
        now = int(self._clock.now().timestamp())
        claims = {
            "aud": list(audiences),
            "exp": now + lifetime_seconds,
            "iat": now,
            "iss": self._issuer,
            "jti": self._ids.uid(),
            CLAIM: msgspec.to_builtins(private),
            "nbf": now,
            "sub": subject,
        }
        return jwt.encode(claims, self._key, ALGORITHM, headers={"kid": self._key_id, "typ": None})

    def check(self, token: str, audiences: Sequence[str] = ()) -> tuple[UserInfo, tuple[str, ...]]:
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
        if now + 60 < claims.not_before:
            raise TokenProblem("service account token is not valid yet")
        self._check_objects(claims.private)
        return claims.user, matching

    def _read(self, token: str) -> Claims:
        """Check form and signature. Raises TokenProblem."""
        if len(token) > TOKEN_BYTES_MAX:
            raise TokenProblem("token is too long")
        try:
            raw: dict[str, Any] = jwt.decode(
                token,
                self._public,
                algorithms=[ALGORITHM],
                issuer=self._issuer,
                # Time is the caller's clock, compared on every use; audiences differ between uses.
                options={
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                    "verify_aud": False,
                    "require": ["exp", "iss"],
                },
            )
            private = msgspec.convert(raw.get(CLAIM, {}), Private)
        except (jwt.PyJWTError, msgspec.ValidationError, ValueError) as problem:
            raise TokenProblem(f"invalid bearer token: {problem}") from problem
        claims = _claims(raw, private)
        if len(self._remembered) >= REMEMBERED_MAX:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[token] = claims
        return claims

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
        if found.metadata.uid != reference.uid:
            raise TokenProblem(f"{kind} UID ({found.metadata.uid}) does not match claim ({reference.uid})")

    def configuration(self) -> bytes:
        """The OpenID provider's configuration."""
        return msgspec.json.encode(
            {
                "issuer": self._issuer,
                "jwks_uri": f"{self._issuer}/openid/v1/jwks",
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": [ALGORITHM],
            }
        )

    def key_set(self) -> bytes:
        """The public key as a JSON Web Key Set."""
        numbers = self._public.public_numbers()
        key = {
            "use": "sig",
            "kty": "RSA",
            "kid": self._key_id,
            "alg": ALGORITHM,
            "n": _base64(numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8, "big")),
            "e": _base64(numbers.e.to_bytes((numbers.e.bit_length() + 7) // 8, "big")),
        }
        return msgspec.json.encode({"keys": [key]})


def key_id(key: rsa.RSAPublicKey) -> str:
    """The SHA-256 of the DER form, in base64: the same key has the same id everywhere."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return _base64(hashlib.sha256(der).digest())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _go_list(values: Sequence[str]) -> str:
    return "[" + " ".join(f'"{value}"' for value in values) + "]"


def _claims(raw: Mapping[str, Any], private: Private) -> Claims:
    """Raises TokenProblem if a claim is missing or does not agree with the others."""
    account = private.serviceaccount
    if account is None or not private.namespace or not account.name or not account.uid:
        raise TokenProblem("token could not be validated")
    if raw.get("sub") != f"system:serviceaccount:{private.namespace}:{account.name}":
        raise TokenProblem("sub claim is invalid")
    audience = raw.get("aud", [])
    audiences = (audience,) if isinstance(audience, str) else tuple(str(one) for one in audience)
    identifier = str(raw.get("jti", ""))
    extra: dict[str, Sequence[str]] = {}
    if identifier:
        extra["authentication.kubernetes.io/credential-id"] = (f"JTI={identifier}",)
    for kind, reference in (("pod", private.pod), ("node", private.node)):
        if reference is not None:
            extra[f"authentication.kubernetes.io/{kind}-name"] = (reference.name,)
            extra[f"authentication.kubernetes.io/{kind}-uid"] = (reference.uid,)
    user = user_of(private.namespace, account.name, account.uid, extra)
    return Claims(audiences, float(raw.get("nbf", 0)), float(raw["exp"]), private, user)
