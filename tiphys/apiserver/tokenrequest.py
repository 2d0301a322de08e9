"""``serviceaccounts/<name>/token``: a token for a service account, bound to a Pod, a Node or a Secret if asked.

Source: Kubernetes API reference, TokenRequest; KEP-1205 Bound Service Account
Tokens; KEP-4193 Bound service account token improvements.
"""

from datetime import timedelta
from typing import Any, Final

from tiphys.api import authentication_v1
from tiphys.apiserver.authentication.serviceaccounts import Private, Reference, Tokens
from tiphys.apiserver.reviews import AUTHENTICATION, body, created
from tiphys.apiserver.seams import Context, ResourceRoute
from tiphys.machinery import errors, fields, times
from tiphys.machinery.goformat import quote
from tiphys.wire.exchange import Response

SECONDS_DEFAULT: Final = 3600
SECONDS_MIN: Final = 600
SECONDS_MAX: Final = 1 << 32
# What projected volumes ask for; such tokens live on so that old programs, which read them once, keep working.
PROJECTED_SECONDS: Final = 3607
EXTENDED_SECONDS: Final = 365 * 24 * 3600
BOUND_KINDS: Final = {"Pod": "pods", "Node": "nodes", "Secret": "secrets"}


class TokenRequests:
    """The handler."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def routes(self) -> list[ResourceRoute]:
        return [ResourceRoute("", "v1", "serviceaccounts", "token", self.create)]

    async def create(self, context: Context) -> Response:
        attributes = context.attributes
        request = body(context, authentication_v1.TokenRequest, AUTHENTICATION)
        account = context.objects.find("", "serviceaccounts", attributes.namespace, attributes.name)
        if account is None:
            raise errors.NotFound("serviceaccounts", attributes.name)
        _check_name(request, attributes.name, attributes.namespace)
        spec = request.spec
        spec.expirationSeconds = SECONDS_DEFAULT if spec.expirationSeconds is None else spec.expirationSeconds
        spec.audiences = spec.audiences or list(self._tokens.audiences)
        await context.admission.admit(attributes, request, None)
        _check_seconds(spec.expirationSeconds, attributes.name)
        await context.admission.validate(attributes, request, None)
        self._fill(context, request, account)
        return created(request)

    def _fill(self, context: Context, request: authentication_v1.TokenRequest, account: Any) -> None:
        spec = request.spec
        asked = seconds = lifetime = spec.expirationSeconds or SECONDS_DEFAULT
        private = self._bound(context, spec.boundObjectRef, account)
        now = context.clock.now()
        warn_after = 0
        own = set(spec.audiences or ()) & set(self._tokens.audiences)
        bound = self._tokens.expiration_max_seconds
        if bound and seconds > bound:
            seconds = lifetime = spec.expirationSeconds = bound
            context.attributes.warnings.append(f"requested expiration of {asked} seconds shortened to {bound} seconds")
        if self._tokens.extends_expiration and seconds == PROJECTED_SECONDS and private.pod is not None and own:
            lifetime = EXTENDED_SECONDS
            warn_after = int(now.timestamp()) + seconds
        private = Private(
            private.namespace, private.serviceaccount, private.pod, private.secret, private.node, warn_after
        )
        metadata = account.metadata
        subject = f"system:serviceaccount:{metadata.namespace}:{metadata.name}"
        request.metadata.name = metadata.name
        request.metadata.namespace = metadata.namespace
        request.metadata.creationTimestamp = times.format_time(now)
        request.status = authentication_v1.TokenRequestStatus(
            token=self._tokens.sign(private, subject, spec.audiences or (), lifetime),
            expirationTimestamp=times.format_time(now + timedelta(seconds=seconds)),
        )

    def _bound(
        self, context: Context, reference: authentication_v1.BoundObjectReference | None, account: Any
    ) -> Private:
        """The claims of a token for ``account``. Raises BadRequest, NotFound, Conflict."""
        metadata = account.metadata
        who = Reference(metadata.name, metadata.uid)
        if reference is None:
            return Private(metadata.namespace, who)
        kind, name = reference.kind or "", reference.name or ""
        if reference.apiVersion != "v1" or kind not in BOUND_KINDS:
            group, _, version = (reference.apiVersion or "").rpartition("/")
            raise errors.BadRequest(f"cannot bind token to object of type {group}/{version}, Kind={kind}")
        namespace = "" if kind == "Node" else metadata.namespace
        found = context.objects.find("", BOUND_KINDS[kind], namespace, name)
        if found is None:
            raise errors.NotFound(BOUND_KINDS[kind], name)
        if reference.uid and reference.uid != found.metadata.uid:
            why = (
                f"the UID in the bound object reference ({reference.uid}) does not match the UID in record. "
                "The object might have been deleted and then recreated"
            )
            raise errors.Conflict(kind, name, why)
        bound = Reference(name, found.metadata.uid)
        if kind == "Secret":
            return Private(metadata.namespace, who, secret=bound)
        if kind == "Node":
            return Private(metadata.namespace, who, node=bound)
        if found.spec.serviceAccountName != metadata.name:
            raise errors.BadRequest(
                f"cannot bind token for serviceaccount {quote(metadata.name)} to pod running with different "
                "serviceaccount name."
            )
        return Private(metadata.namespace, who, pod=bound, node=_node_of(context, found))


def _node_of(context: Context, pod: Any) -> Reference | None:
    name = pod.spec.nodeName
    if not name:
        return None
    node = context.objects.find("", "nodes", "", name)
    return Reference(name, node.metadata.uid if node is not None else "")


def _check_name(request: authentication_v1.TokenRequest, name: str, namespace: str) -> None:
    metadata = request.metadata
    if metadata.name and metadata.name != name:
        raise errors.BadRequest(
            f"name in URL does not match name in TokenRequest object: {metadata.name} is not {name}"
        )
    if metadata.namespace and metadata.namespace != namespace:
        raise errors.BadRequest(
            f"namespace in URL does not match namespace in TokenRequest object: {metadata.namespace} is not {namespace}"
        )


def _check_seconds(seconds: int, name: str) -> None:
    problems = []
    if seconds < SECONDS_MIN:
        text = "may not specify a duration less than 10 minutes"
        problems.append(fields.invalid("spec.expirationSeconds", seconds, text))
    if seconds > SECONDS_MAX:
        text = "may not specify a duration larger than 2^32 seconds"
        problems.append(fields.invalid("spec.expirationSeconds", seconds, text))
    if problems:
        raise errors.Invalid("TokenRequest", AUTHENTICATION, name, problems)
