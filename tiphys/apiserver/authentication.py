"""Who asks: client certificates, bearer tokens, and on whose behalf (impersonation).

Credentials that are there and wrong are a 401; no credentials are
``system:anonymous``. A certificate has been verified against the client CA by
the TLS layer; here only its subject is read.
Source: Kubernetes docs, "Authenticating".
"""

import base64
import binascii
import csv
import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from cryptography import x509
from cryptography.x509.oid import NameOID

from tiphys.apiserver.seams import ANONYMOUS, Attributes, Authorizer
from tiphys.apiserver.tokens import TokenProblem, Tokens
from tiphys.base.clock import Clock
from tiphys.machinery import errors
from tiphys.machinery.goformat import quote
from tiphys.wire.exchange import Request, UserInfo

AUTHENTICATED: Final = "system:authenticated"
UNAUTHENTICATED: Final = "system:unauthenticated"
SERVICE_ACCOUNT_PREFIX: Final = "system:serviceaccount:"
CREDENTIAL_ID: Final = "authentication.kubernetes.io/credential-id"
CERTIFICATES_REMEMBERED_MAX: Final = 4096
#: A WebSocket subprotocol that carries a token; it is never negotiated and never passed on.
WEBSOCKET_TOKEN_PREFIX: Final = "base64url.bearer.authorization.k8s.io."
EXTRA_HEADER: Final = "impersonate-extra-"


class Certificates:
    """The users that client certificates name; each certificate is parsed once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[bytes, tuple[float, UserInfo]] = {}

    def user(self, der: bytes) -> UserInfo:
        """Raises Unauthorized if the certificate names nobody or has expired since the connection was made."""
        known = self._known.get(der)
        if known is None:
            if len(self._known) >= CERTIFICATES_REMEMBERED_MAX:
                self._known.clear()
            known = self._known[der] = _read_certificate(der)
        expires, user = known
        if self._clock.now().timestamp() > expires:
            raise errors.Unauthorized
        return user


def _read_certificate(der: bytes) -> tuple[float, UserInfo]:
    try:
        certificate = x509.load_der_x509_certificate(der)
        names = [str(a.value) for a in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        groups = [str(a.value) for a in certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    except ValueError as problem:
        raise errors.Unauthorized from problem
    if not names or not names[0]:
        raise errors.Unauthorized
    extra = {CREDENTIAL_ID: (f"X509SHA256={hashlib.sha256(der).hexdigest()}",)}
    user = UserInfo(names[0], groups=_with_authenticated(groups), extra=extra)
    return certificate.not_valid_after_utc.astimezone(UTC).timestamp(), user


def _with_authenticated(groups: Sequence[str]) -> tuple[str, ...]:
    return tuple(groups) if AUTHENTICATED in groups else (*groups, AUTHENTICATED)


class StaticTokens:
    """Tokens from a file: ``token,user,uid,"group1,group2"`` in each line."""

    def __init__(self, text: str = "") -> None:
        # Kept and found by digest: how long a look-up takes tells nothing about the tokens.
        self._users: dict[bytes, UserInfo] = {}
        for row in csv.reader(text.splitlines()):
            cells = [cell.strip() for cell in row]
            if len(cells) >= 3 and cells[0]:
                groups = [group for group in cells[3].split(",") if group] if len(cells) > 3 else []
                self._users[_digest(cells[0])] = UserInfo(cells[1], cells[2], _with_authenticated(groups))

    @classmethod
    def from_file(cls, path: str) -> "StaticTokens":
        """Raises OSError."""
        return cls(Path(path).read_text("utf-8") if path else "")

    def find(self, token: str) -> UserInfo | None:
        return self._users.get(_digest(token))


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


class Authentication:
    """``seams.Authenticator``: certificate, then token, then nobody; then impersonation."""

    def __init__(
        self,
        certificates: Certificates,
        static: StaticTokens,
        tokens: Tokens | None,
        authorizer: Authorizer,
        *,
        anonymous: bool = True,
    ) -> None:
        self._certificates = certificates
        self._static = static
        self._tokens = tokens
        self._authorizer = authorizer
        self._anonymous = anonymous

    async def authenticate(self, request: Request) -> UserInfo | None:
        user = self._credentials(request)
        if user is None and not self._anonymous:
            raise errors.Unauthorized
        headers = request.headers
        if "impersonate-user" in headers or any(name.startswith("impersonate-") for name in headers):
            return await self._impersonated(user or ANONYMOUS, headers)
        return user

    def _credentials(self, request: Request) -> UserInfo | None:
        token = bearer_token(request.headers)
        if request.peer_certificate is not None:
            return self._certificates.user(request.peer_certificate)
        return self.user_of_token(token) if token else None

    def user_of_token(self, token: str) -> UserInfo:
        """Raises Unauthorized."""
        try:
            return self.review(token, ())[0]
        except TokenProblem as problem:
            raise errors.Unauthorized from problem

    def review(self, token: str, audiences: Sequence[str]) -> tuple[UserInfo, tuple[str, ...]]:
        """The user of a token and the audiences (of those asked for) it is good for. Raises TokenProblem."""
        user = self._static.find(token)
        own = self._tokens.audiences if self._tokens is not None else ()
        if user is not None:
            matching = tuple(one for one in audiences if one in own)
            if audiences and not matching:
                raise TokenProblem("token is not for these audiences")
            return user, matching
        if self._tokens is None:
            raise TokenProblem("invalid bearer token")
        return self._tokens.check(token, audiences)

    async def _impersonated(self, user: UserInfo, headers: Mapping[str, str]) -> UserInfo:
        """The user that ``user`` acts as. Raises Forbidden, or BadRequest where only details of a user are given."""
        name = headers.get("impersonate-user", "")
        groups = [group.strip() for group in headers.get("impersonate-group", "").split(",") if group.strip()]
        uid = headers.get("impersonate-uid", "")
        extra = _extra(headers)
        if not name:
            raise errors.InternalError(
                f"requested {_go_values(groups)} groups, extra or uid without impersonating a user"
            )
        await self._check(user, name, groups, uid, extra)
        if name.startswith(SERVICE_ACCOUNT_PREFIX) and not groups:
            namespace = name.split(":")[2]
            groups = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}"]
        if name == ANONYMOUS.name:
            groups = groups if UNAUTHENTICATED in groups else [*groups, UNAUTHENTICATED]
            return UserInfo(name, uid, tuple(groups), extra)
        return UserInfo(name, uid, _with_authenticated(groups), extra)

    async def _check(
        self, user: UserInfo, name: str, groups: Sequence[str], uid: str, extra: Mapping[str, Sequence[str]]
    ) -> None:
        parts = name.split(":")
        if name.startswith(SERVICE_ACCOUNT_PREFIX) and len(parts) == 4:
            await self._may(user, "", "serviceaccounts", parts[3], namespace=parts[2])
        else:
            await self._may(user, "", "users", name)
        for group in groups:
            await self._may(user, "", "groups", group)
        if uid:
            await self._may(user, "authentication.k8s.io", "uids", uid)
        for key, values in extra.items():
            for value in values:
                await self._may(user, "authentication.k8s.io", "userextras", value, subresource=key)

    async def _may(
        self, user: UserInfo, group: str, resource: str, name: str, *, namespace: str = "", subresource: str = ""
    ) -> None:
        asked = Attributes(
            "impersonate",
            "",
            user,
            is_resource_request=True,
            group=group,
            version="v1",
            resource=resource,
            subresource=subresource,
            namespace=namespace,
            name=name,
        )
        decision = await self._authorizer.authorize(user, asked)
        if decision.allowed:
            return
        where = f" in the namespace {quote(namespace)}" if namespace else " at the cluster scope"
        path = f"{resource}/{subresource}" if subresource else resource
        tail = f": {decision.reason}" if decision.reason else ""
        why = f"User {quote(user.name)} cannot impersonate resource {quote(path)} in API group {quote(group)}{where}"
        raise errors.Forbidden(resource, name, why + tail, group)


def bearer_token(headers: Mapping[str, str]) -> str:
    """The token of an Authorization header, or of a WebSocket's subprotocol (browsers can set nothing else)."""
    scheme, _, token = headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    for protocol in headers.get("sec-websocket-protocol", "").split(","):
        encoded = protocol.strip().removeprefix(WEBSOCKET_TOKEN_PREFIX)
        if encoded != protocol.strip():
            try:
                return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
            except (binascii.Error, ValueError):
                raise errors.Unauthorized from None
    return ""


def _extra(headers: Mapping[str, str]) -> dict[str, Sequence[str]]:
    found: dict[str, Sequence[str]] = {}
    for name, value in headers.items():
        if name.startswith(EXTRA_HEADER):
            found[unquote(name.removeprefix(EXTRA_HEADER))] = tuple(part.strip() for part in value.split(","))
    return found


def _go_values(values: Sequence[str]) -> str:
    return "[" + " ".join(values) + "]"
