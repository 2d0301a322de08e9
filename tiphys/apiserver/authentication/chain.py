"""All authenticators in Kubernetes' order, then anonymity, then impersonation.

Credentials that are there and that nobody takes for good are a 401; no
credentials are ``system:anonymous``, where that is allowed.
Source: Kubernetes docs, "Authenticating".
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tiphys.apiserver.authentication.authenticator import (
    TOKEN_BYTES_MAX,
    Authenticated,
    TokenAuthenticator,
    TokenProblem,
    basic_credentials,
    bearer_token,
)
from tiphys.apiserver.authentication.certificates import Certificates
from tiphys.apiserver.authentication.files import Passwords
from tiphys.apiserver.authentication.impersonation import Impersonation, wanted_user
from tiphys.apiserver.authentication.proxies import Proxies
from tiphys.apiserver.authentication.serviceaccounts import Tokens
from tiphys.apiserver.requestinfo import attributes_of
from tiphys.apiserver.seams import ANONYMOUS
from tiphys.machinery import errors
from tiphys.wire.exchange import Request, UserInfo


@dataclass(frozen=True, slots=True)
class Anonymous:
    """Whether strangers may ask, and if not everywhere, at which paths."""

    enabled: bool = True
    paths: frozenset[str] | None = None

    def allows(self, path: str) -> bool:
        return self.enabled and (self.paths is None or path in self.paths)


@dataclass(frozen=True, slots=True)
class Agnostic:
    """A ``TokenAuthenticator`` whose tokens say nothing of audiences: they are for the API server's own."""

    inner: TokenAuthenticator
    own: tuple[str, ...]

    async def authenticate_token(self, token: str, audiences: Sequence[str]) -> Authenticated | None:
        matching = tuple(one for one in audiences if one in self.own)
        if not matching and self.own:
            return None
        found = await self.inner.authenticate_token(token, ())
        return found._replace(audiences=matching) if found is not None else None


@dataclass(slots=True)
class Authenticators:
    """Those that are switched on. ``tokens`` stand in the order in which they are asked."""

    certificates: Certificates | None = None
    proxies: Proxies | None = None
    passwords: Passwords | None = None
    service_accounts: Tokens | None = None
    tokens: Sequence[TokenAuthenticator] = ()
    anonymous: Anonymous = field(default_factory=Anonymous)
    #: What the API server is called in tokens.
    audiences: tuple[str, ...] = ()


class Authentication:
    """``seams.Authenticator``."""

    def __init__(self, authenticators: Authenticators, impersonation: Impersonation) -> None:
        #: May be replaced as a whole while requests are served, when its configuration has changed.
        self.authenticators = authenticators
        self._impersonation = impersonation

    async def authenticate(self, request: Request) -> UserInfo | None:
        by = self.authenticators
        user = self._at_once(request, by) or await self._by_any(request, by)
        if user is None and not by.anonymous.allows(request.path):
            raise errors.Unauthorized
        wanted = wanted_user(request.headers)
        if wanted is None:
            return user
        return await self._impersonation.user(user or ANONYMOUS, wanted, attributes_of(request))

    def _at_once(self, request: Request, by: Authenticators) -> UserInfo | None:
        """The user, where it takes no more than a look: what nearly all requests come with."""
        headers = request.headers
        if by.proxies is not None and by.proxies.speak(headers):
            return None
        if by.passwords is not None and "authorization" in headers:
            return None
        try:
            if request.peer_certificate is not None:
                return by.certificates.user(request.peer_certificate) if by.certificates is not None else None
            token = bearer_token(headers) if by.service_accounts is not None else ""
            return by.service_accounts.remembered(token) if token and by.service_accounts is not None else None
        except TokenProblem:
            return None

    async def _by_any(self, request: Request, by: Authenticators) -> UserInfo | None:
        """The first user that an authenticator knows; None without credentials. Raises Unauthorized."""
        refused = False
        for authenticate in (self._by_proxy, self._by_password, self._by_certificate):
            try:
                user = authenticate(request, by)
            except TokenProblem:
                refused = True
                continue
            if user is not None:
                return user
        token = bearer_token(request.headers)
        if token:
            try:
                found = await self.review(token, ())
            except TokenProblem as problem:
                raise errors.Unauthorized from problem
            request.warnings = found.warnings
            return found.user
        if refused:
            raise errors.Unauthorized
        return None

    def _by_proxy(self, request: Request, by: Authenticators) -> UserInfo | None:
        return by.proxies.user(request) if by.proxies is not None else None

    def _by_password(self, request: Request, by: Authenticators) -> UserInfo | None:
        given = basic_credentials(request.headers) if by.passwords is not None else None
        return by.passwords.user(*given) if given is not None and by.passwords is not None else None

    def _by_certificate(self, request: Request, by: Authenticators) -> UserInfo | None:
        if request.peer_certificate is None or by.certificates is None:
            return None
        return by.certificates.user(request.peer_certificate)

    async def review(self, token: str, audiences: Sequence[str]) -> Authenticated:
        """Whose token it is, and for which of ``audiences`` (by default the server's own). Raises TokenProblem."""
        by = self.authenticators
        if len(token) > TOKEN_BYTES_MAX:
            raise TokenProblem("invalid bearer token")
        problems: list[str] = []
        for authenticator in by.tokens:
            try:
                found = await authenticator.authenticate_token(token, audiences or by.audiences)
            except TokenProblem as problem:
                problems.append(str(problem))
                continue
            if found is not None:
                return found
        raise TokenProblem(errors.aggregate(problems) if problems else "invalid bearer token")
