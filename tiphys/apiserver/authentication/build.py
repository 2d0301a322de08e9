"""Makes the authenticators that a configuration asks for, in the order in which they are asked.

Source: Kubernetes docs, "Authenticating"; kube-apiserver's order, by behaviour.
"""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

from tiphys.apiserver.authentication.authenticator import TokenAuthenticator
from tiphys.apiserver.authentication.bootstraptokens import BootstrapTokens
from tiphys.apiserver.authentication.caching import Remembering
from tiphys.apiserver.authentication.certificates import Authorities, Certificates
from tiphys.apiserver.authentication.chain import Agnostic, Authenticators
from tiphys.apiserver.authentication.configuration import JwtIssuer, configured
from tiphys.apiserver.authentication.files import Passwords, StaticTokens
from tiphys.apiserver.authentication.keysets import KeySet
from tiphys.apiserver.authentication.legacy import LegacyTokens
from tiphys.apiserver.authentication.oidc import OidcTokens
from tiphys.apiserver.authentication.proxies import Proxies, ProxyConfig
from tiphys.apiserver.authentication.serviceaccounts import Tokens
from tiphys.apiserver.authentication.webhook import TokenWebhook
from tiphys.apiserver.config import ApiServerConfig, SecurityConfig
from tiphys.apiserver.remote import Remote, Target, target_of
from tiphys.apiserver.seams import Objects
from tiphys.base.clock import Clock
from tiphys.base.ids import Ids

#: How long a token of another issuer is known without being checked again. Source: kube-apiserver's token cache.
TOKEN_CACHE_SECONDS = 10.0


@dataclass(slots=True)
class Built:
    """The authenticators, and what has to be closed at the end."""

    authenticators: Authenticators
    closing: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    async def close(self) -> None:
        for close in self.closing:
            await close()


def build(security: SecurityConfig, server: ApiServerConfig, objects: Objects, clock: Clock, ids: Ids) -> Built:
    """Raises OSError and ValueError, naming the file or flag that cannot be used."""
    found = Built(Authenticators(audiences=security.api_audiences or security.issuers))
    by = found.authenticators
    settings = configured(security)
    by.anonymous = settings.anonymous
    apart = bool(server.requestheader_client_ca and server.client_ca)
    if server.client_ca or not server.requestheader_client_ca:
        # Where proxies have an authority of their own, TLS alone does not say which of the two a certificate is from.
        by.certificates = Certificates(clock, Authorities(server.client_ca) if apart else None)
    if server.requestheader_client_ca:
        by.proxies = Proxies(_proxy_config(security, server), clock)
    if security.basic_auth_file:
        by.passwords = Passwords.from_file(security.basic_auth_file)
    if security.service_account_key:
        legacy = LegacyTokens(objects, clock, by.audiences, lookup=security.service_account_lookup)
        found.closing.append(legacy.close)
        by.service_accounts = Tokens(security, objects, clock, ids, legacy)
    by.tokens = tuple(_tokens(security, objects, clock, found, settings.issuers))
    return found


def _proxy_config(security: SecurityConfig, server: ApiServerConfig) -> ProxyConfig:
    return ProxyConfig(
        server.requestheader_client_ca,
        security.requestheader_allowed_names,
        security.requestheader_username_headers,
        security.requestheader_uid_headers,
        security.requestheader_group_headers,
        security.requestheader_extra_prefixes,
    )


def _tokens(
    security: SecurityConfig, objects: Objects, clock: Clock, found: Built, issuers: tuple[JwtIssuer, ...]
) -> Iterator[TokenAuthenticator]:
    by = found.authenticators
    if security.token_file:
        yield Agnostic(StaticTokens.from_file(security.token_file), by.audiences)
    if by.service_accounts is not None:
        yield by.service_accounts
    if security.bootstrap_tokens:
        yield Agnostic(BootstrapTokens(objects, clock), by.audiences)
    for one in issuers:
        target = Target(one.issuer.url, ca=one.ca)
        oidc = OidcTokens(
            one.issuer, KeySet(Remote(target), one.issuer.url, clock, one.discovery_url), one.mapping, clock
        )
        yield Agnostic(_remembering(oidc, TOKEN_CACHE_SECONDS, clock, found), by.audiences)
        found.closing.append(oidc.close)
    if security.token_webhook_file:
        remote = Remote(target_of(security.token_webhook_file))
        webhook = TokenWebhook(remote, security.token_webhook_version, by.audiences, clock)
        yield _remembering(webhook, security.token_webhook_cache_seconds, clock, found)
        found.closing.append(webhook.close)


def _remembering(inner: TokenAuthenticator, seconds: float, clock: Clock, found: Built) -> Remembering:
    made = Remembering(inner, clock, seconds)
    found.closing.append(made.close)
    return made
