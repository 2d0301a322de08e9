"""Users by the word of an authenticating proxy, which shows a certificate and names them in headers.

Source: Kubernetes docs, "Authenticating", Authenticating Proxy.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from cryptography import x509

from tiphys.apiserver.authentication.authenticator import TokenProblem, with_authenticated
from tiphys.apiserver.authentication.certificates import Authorities, common_name
from tiphys.base.clock import Clock
from tiphys.machinery.goformat import quote
from tiphys.wire.exchange import Request, UserInfo, header_values


@dataclass(frozen=True, slots=True)
class ProxyConfig:
    """Which proxies are believed, and in which headers they speak; the first name header with a value counts."""

    client_ca: str
    allowed_names: tuple[str, ...] = ()
    username_headers: tuple[str, ...] = ()
    uid_headers: tuple[str, ...] = ()
    group_headers: tuple[str, ...] = ()
    extra_prefixes: tuple[str, ...] = ()


class Proxies:
    """The users that proxies name."""

    def __init__(self, config: ProxyConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._authorities = Authorities(config.client_ca)
        self._usernames = _lower(config.username_headers)
        self._uids = _lower(config.uid_headers)
        self._groups = _lower(config.group_headers)
        self._prefixes = _lower(config.extra_prefixes)

    def speak(self, headers: Mapping[str, str]) -> bool:
        """Whether a proxy (or somebody who would like to be one) names a user."""
        for name in self._usernames:  # noqa: SIM110  # nearly every request comes by here
            if name in headers:
                return True
        return False

    def user(self, request: Request) -> UserInfo | None:
        """Whom a proxy names; None if none does. Raises TokenProblem if the certificate is no proxy's."""
        if request.peer_certificate is None:
            return None
        headers = request.headers
        name = _first(headers, self._usernames)
        if not name:
            return None
        self._check(request.peer_certificate)
        groups = [value for header in self._groups for value in header_values(headers, header) if value]
        return UserInfo(name, _first(headers, self._uids), with_authenticated(groups), self._extra(headers))

    def _check(self, der: bytes) -> None:
        try:
            certificate = x509.load_der_x509_certificate(der)
            known = self._authorities.have_issued(certificate)
        except (ValueError, OSError) as problem:
            raise TokenProblem(f"x509: {problem}") from problem
        if not known:
            raise TokenProblem("x509: certificate signed by unknown authority")
        if self._clock.now() > certificate.not_valid_after_utc:
            raise TokenProblem("x509: certificate has expired or is not yet valid")
        name = common_name(certificate)
        if self._config.allowed_names and name not in self._config.allowed_names:
            raise TokenProblem(f"x509: subject with cn={name} is not in the allowed list")

    def _extra(self, headers: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for prefix in self._prefixes:
            for header in headers:
                if header.startswith(prefix):
                    key = unquote(header.removeprefix(prefix)).lower()
                    found[key] = found.get(key, ()) + header_values(headers, header)
        return found

    def published(self) -> Mapping[str, str]:
        """What extension servers are told, by key of their ConfigMap. Raises OSError."""
        config = self._config
        lists = {
            "requestheader-allowed-names": config.allowed_names,
            "requestheader-username-headers": config.username_headers,
            "requestheader-uid-headers": config.uid_headers,
            "requestheader-group-headers": config.group_headers,
            "requestheader-extra-headers-prefix": config.extra_prefixes,
        }
        return {key: "[" + ",".join(map(quote, names)) + "]" for key, names in lists.items()}


def _lower(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name.strip().lower() for name in names)


def _first(headers: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((value for name in names for value in header_values(headers, name)[:1] if value), "")
