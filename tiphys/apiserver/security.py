"""Puts the security and publication side together: what ``ApiServer(seams=...)`` is given.

``seams(SecurityConfig(...))`` makes the factory. It authenticates, authorizes,
admits, and serves everything that is not a stored resource.
"""

import asyncio
import ipaddress
import random
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager

from tiphys.apiserver import admission, componentstatus, pki, reloading
from tiphys.apiserver.aggregation.aggregator import Aggregator
from tiphys.apiserver.aggregation.catalog import Catalog
from tiphys.apiserver.aggregation.upstream import Credentials
from tiphys.apiserver.authentication import Authentication
from tiphys.apiserver.authentication import build as authenticators
from tiphys.apiserver.authentication.impersonation import Impersonation
from tiphys.apiserver.authentication.serviceaccounts import Tokens
from tiphys.apiserver.authorization import NodeAuthorizer, Union
from tiphys.apiserver.authorization import configuration as authorizers
from tiphys.apiserver.bootstrap import aggregation, bootstrap, trust
from tiphys.apiserver.bootstrap.service import Place
from tiphys.apiserver.config import ApiServerConfig, SecurityConfig
from tiphys.apiserver.discovery import Discovery, Index
from tiphys.apiserver.flow import Flow
from tiphys.apiserver.health import Check, healthy
from tiphys.apiserver.metrics import watch_lines
from tiphys.apiserver.openapi import OpenApi
from tiphys.apiserver.rbac import Rbac
from tiphys.apiserver.relay import Nodes, Proxies, Streams
from tiphys.apiserver.reviews import Reviews
from tiphys.apiserver.seams import Context, Objects, RawRoute, ResourceRoute, Seams
from tiphys.apiserver.tokenrequest import TokenRequests
from tiphys.base.clock import Clock
from tiphys.base.ids import Ids
from tiphys.resources import table
from tiphys.wire.exchange import Response

#: Lines of ``/metrics``, made when somebody asks.
Lines = Callable[[], Iterator[str]]
SeamsFactory = Callable[[ApiServerConfig, Objects, Clock, Ids], Seams]


def config_of(files: pki.Pki, advertise_address: str = "") -> SecurityConfig:
    """The files of a cluster."""
    client = files.apiserver_kubelet_client
    return SecurityConfig(
        service_account_key=str(files.service_account_key),
        kubelet_ca=str(files.ca),
        kubelet_client_certificate=str(client.cert),
        kubelet_client_key=str(client.key),
        proxy_client_certificate=str(files.front_proxy_client.cert),
        proxy_client_key=str(files.front_proxy_client.key),
        bootstrap_tokens=True,
        requestheader_allowed_names=(pki.FRONT_PROXY_CLIENT,),
        requestheader_username_headers=("X-Remote-User",),
        requestheader_uid_headers=("X-Remote-Uid",),
        requestheader_group_headers=("X-Remote-Group",),
        requestheader_extra_prefixes=("X-Remote-Extra-",),
        advertise_address=advertise_address,
    )


class Security:
    """Everything built over one API server's objects."""

    def __init__(
        self,
        security: SecurityConfig,
        config: ApiServerConfig,
        objects: Objects,
        clock: Clock,
        ids: Ids,
        checks: Mapping[str, Check],
        ready: Mapping[str, Check],
        lines: Sequence[Lines] = (),
    ) -> None:
        self._checks = {"etcd": healthy, **checks}
        self._ready = ready
        self.config = config
        self.security = security
        self.objects = objects
        self.catalog = Catalog(table.served(config.runtime_config, config.feature_gates))
        reserved = (
            *security.requestheader_username_headers,
            *security.requestheader_uid_headers,
            *security.requestheader_group_headers,
            *security.requestheader_extra_prefixes,
        )
        ours = Credentials(
            security.proxy_client_certificate,
            security.proxy_client_key,
            tuple(name.strip().lower() for name in reserved),
        )
        self.aggregator = Aggregator(objects, self.catalog, clock, ours, random.Random())
        self.rbac = Rbac(objects)
        self._authorizing = authorizers.Parts(objects, self.rbac, NodeAuthorizer(objects), clock)
        self._authorizers = authorizers.build(security, self._authorizing)
        self.authorizer = Union(self._authorizers.authorizers)
        self.flow = Flow(config, security, objects, clock, self._stored)
        self.admission = admission.build(
            security,
            admission.Tools(objects, ids, clock, self.rbac, self.authorizer, self.catalog, webhooks=config.webhooks),
        )
        self.flow.metrics.add(self.admission.meters.lines)
        self.flow.metrics.add(lambda: watch_lines(objects.told()))
        for more in lines:
            self.flow.metrics.add(more)
        self._authenticators = authenticators.build(security, config, objects, clock, ids)
        self.tokens = self._authenticators.authenticators.service_accounts
        self.authentication = Authentication(self._authenticators.authenticators, Impersonation(self.authorizer))
        self._clock, self._ids = clock, ids
        #: Replaced by newer configurations.
        self._retired: list[authenticators.Built | authorizers.Built] = []
        self.watched = self._watched()

    def seams(self) -> Seams:
        return Seams(
            authenticator=self.authentication,
            authorizer=self.authorizer,
            admission=self.admission,
            routes=self._routes(),
            resource_routes=self._resource_routes(),
            observer=self.flow.metrics,
            gate=self.flow.gate,
            auditor=self.flow.auditor,
            lifecycle=self.flow.lifecycle,
            running=self.running,
            catalog=self.catalog,
            foreign=self.aggregator.routes,
        )

    def _routes(self) -> list[RawRoute]:
        discovery = Discovery(self.catalog, self._own_address(), self.aggregator.discover)
        routes = [*discovery.routes(), *self.flow.routes(self._checks, self._ready)]
        routes += OpenApi(self.catalog, self.aggregator).routes()
        if self.tokens is not None:
            routes += _openid_routes(self.tokens)
        return [*routes, Index(routes, discovery).route()]

    def _resource_routes(self) -> list[ResourceRoute]:
        routes = Reviews(self.authentication, self.authorizer, self.rbac).routes()
        if self.tokens is not None:
            routes += TokenRequests(self.tokens).routes()
        security = self.security
        nodes = Nodes(
            self.objects, security.kubelet_ca, security.kubelet_client_certificate, security.kubelet_client_key
        )
        routes += [*Streams(nodes).routes(), *Proxies(nodes, random.Random()).routes(), componentstatus.route()]
        return routes

    def _stored(self) -> dict[str, int]:
        rows = [row for row in table.RESOURCES if not row.virtual and row.to_storage is None]
        return {row.group_resource: self.objects.count(row.group, row.plural) for row in rows}

    def _own_address(self) -> str:
        return f"{self.security.advertise_address or self.config.host}:{self.config.port}"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Begins by writing what every cluster has."""
        await bootstrap(self.objects, self._place())
        proxies = self._authenticators.authenticators.proxies
        await trust.publish(self.objects, self.config, proxies, self._clock.now())
        following = self._following()
        async with (
            aggregation.keeping(self.objects, self.rbac),
            self.aggregator.running(),
            following,
            self.flow.running(),
        ):
            yield

    @asynccontextmanager
    async def _following(self) -> AsyncIterator[None]:
        """Follow configuration files, if there are any, and close what was opened to ask others."""
        follower = asyncio.create_task(reloading.follow(self.watched, self._clock)) if self.watched else None
        try:
            yield
        finally:
            if follower is not None:
                follower.cancel()
                await asyncio.gather(follower, return_exceptions=True)
            for built in (*self._retired, self._authenticators, self._authorizers):
                await built.close()
            await self.admission.close()

    def _watched(self) -> list[reloading.Watched]:
        security = self.security
        files = (
            (security.authentication_config, self._reload_authentication),
            (security.authorization_config, self._reload_authorization),
        )
        return [reloading.Watched(path, changed) for path, changed in files if path]

    async def _reload_authentication(self) -> None:
        built = authenticators.build(self.security, self.config, self.objects, self._clock, self._ids)
        # Those who are asking through the old ones may finish; they are closed at the end.
        self._retired.append(self._authenticators)
        self._authenticators = built
        self.authentication.authenticators = built.authenticators

    async def _reload_authorization(self) -> None:
        built = authorizers.build(self.security, self._authorizing)
        self._retired.append(self._authorizers)
        self._authorizers = built
        self.authorizer.authorizers = built.authorizers

    def _place(self) -> Place | None:
        if not self.config.port:
            return None
        address = self.security.advertise_address or self.config.host
        ip = ipaddress.ip_address(address)
        reachable = "" if ip.is_loopback or ip.is_unspecified else address
        return Place(pki.first_service_address(self.config.service_cidr), reachable, self.config.port)


def _openid_routes(tokens: Tokens) -> list[RawRoute]:
    """Where others find the key that checks service account tokens."""
    caching = {"Cache-Control": "public, max-age=3600"}
    configuration = Response(200, {"Content-Type": "application/json", **caching}, tokens.configuration())
    keys = Response(200, {"Content-Type": "application/jwk-set+json", **caching}, tokens.key_set())

    async def serve_configuration(context: Context) -> Response:
        return configuration

    async def serve_keys(context: Context) -> Response:
        return keys

    return [
        RawRoute("/.well-known/openid-configuration", serve_configuration),
        RawRoute("/openid/v1/jwks", serve_keys),
    ]


def seams(
    security: SecurityConfig | None = None,
    checks: Mapping[str, Check] | None = None,
    ready: Mapping[str, Check] | None = None,
    lines: Sequence[Lines] = (),
) -> SeamsFactory:
    """What ``ApiServer(seams=...)`` takes, for one configuration.

    ``checks`` and ``ready`` are health checks of what the server stands on; the latter for ``/readyz`` alone.
    ``lines`` is what it counts itself, for ``/metrics``.
    """

    def make(config: ApiServerConfig, objects: Objects, clock: Clock, ids: Ids) -> Seams:
        used = security or SecurityConfig()
        return Security(used, config, objects, clock, ids, checks or {}, ready or {}, lines).seams()

    return make
