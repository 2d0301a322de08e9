"""Asks a webhook whether somebody may do something.

Answers are remembered, yes and no for times of their own. A webhook that cannot
be asked has no opinion, or says no, as configured; that it could not be asked is
told in either case.
Source: Kubernetes docs, "Authorization", Webhook Mode; KEP-3221 Structured
Authorization Configuration.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from tiphys.api import authorization_v1
from tiphys.apiserver.authentication.caching import TtlCache
from tiphys.apiserver.expressions import Expression, ExpressionProblem
from tiphys.apiserver.rbac import groups_of
from tiphys.apiserver.remote import Remote, RemoteError
from tiphys.apiserver.seams import Attributes, Decision
from tiphys.base.clock import Clock
from tiphys.machinery import codec, selectors
from tiphys.wire.exchange import UserInfo

GROUP: Final = "authorization.k8s.io"
NO_OPINION: Final = Decision(False)
#: What is longer is asked each time. Source: apiserver's webhook authorizer, by behaviour.
CACHED_CHARACTERS_MAX: Final = 10_000
_FIELD_OPERATORS: Final = {"=": "In", "==": "In", "!=": "NotIn"}
_LABEL_OPERATORS: Final = {
    "=": "In", "==": "In", "in": "In", "!=": "NotIn", "notin": "NotIn", "exists": "Exists", "!": "DoesNotExist"
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class WebhookConfig:
    """How one webhook is asked."""

    name: str = ""
    version: str = "v1beta1"
    timeout_seconds: float = 30.0
    authorized_seconds: float = 300.0
    unauthorized_seconds: float = 30.0
    denies_on_failure: bool = False
    conditions: tuple[Expression, ...] = ()


class AuthorizationWebhook:
    """``seams.Authorizer``."""

    def __init__(self, remote: Remote, config: WebhookConfig, clock: Clock) -> None:
        self._remote = remote
        self._config = config
        self._clock = clock
        self._known: TtlCache[Decision] = TtlCache(clock)

    async def authorize(self, user: UserInfo, attributes: Attributes) -> Decision:
        spec = review_spec(user, attributes)
        try:
            if self._config.conditions and not self._matches(spec):
                return NO_OPINION
            return await self._asked(spec)
        except (ExpressionProblem, RemoteError, codec.DecodeError) as problem:
            return Decision(False, denied=self._config.denies_on_failure, error=str(problem))

    def _matches(self, spec: Mapping[str, Any]) -> bool:
        """Raises ExpressionProblem only if no condition is false."""
        failed: ExpressionProblem | None = None
        for condition in self._config.conditions:
            try:
                if condition.evaluate({"request": spec}) is not True:
                    return False
            except ExpressionProblem as problem:
                failed = failed or problem
        if failed is not None:
            raise failed
        return True

    async def _asked(self, spec: dict[str, Any]) -> Decision:
        if self._config.version == "v1beta1":
            # The field had another name then.
            spec = {("group" if name == "groups" else name): value for name, value in spec.items()}
        question = {"kind": "SubjectAccessReview", "apiVersion": f"{GROUP}/{self._config.version}", "spec": spec}
        body = msgspec.json.encode(question, order="deterministic")
        found = self._known.get(body)
        if found is not None:
            return found
        answer = await self._remote.post_patiently(body, self._clock)
        decision = _decision(codec.decode(authorization_v1.SubjectAccessReview, answer).status)
        if len(body) <= CACHED_CHARACTERS_MAX and not decision.error:
            config = self._config
            seconds = config.authorized_seconds if decision.allowed else config.unauthorized_seconds
            self._known.put(body, decision, seconds)
        return decision

    async def close(self) -> None:
        await self._remote.close()


def _decision(status: authorization_v1.SubjectAccessReviewStatus) -> Decision:
    reason = status.reason or ""
    if status.allowed and status.denied:
        return Decision(False, denied=True, error="webhook subject access review returned both allow and deny response")
    return Decision(bool(status.allowed), reason, denied=bool(status.denied))


def review_spec(user: UserInfo, asked: Attributes) -> dict[str, Any]:
    """A request as SubjectAccessReviews (v1) put it; empty fields are left out, as Go's encoder does."""
    spec: dict[str, Any] = {}
    if asked.is_resource_request:
        facts = {
            "namespace": asked.namespace,
            "verb": asked.verb,
            "group": asked.group,
            "version": asked.version,
            "resource": asked.resource,
            "subresource": asked.subresource,
            "name": asked.name,
        }
        spec["resourceAttributes"] = _filled(facts) | _selectors(asked)
    else:
        spec["nonResourceAttributes"] = _filled({"path": asked.path, "verb": asked.verb})
    extra = {key: list(values) for key, values in user.extra.items()}
    return spec | _filled({"user": user.name, "groups": list(groups_of(user)), "extra": extra, "uid": user.uid})


def _filled(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if value}


def _selectors(asked: Attributes) -> dict[str, Any]:
    """The request's selectors as requirements; one that cannot be read is left out, and so limits nothing."""
    found: dict[str, Any] = {}
    fields = _field_requirements(asked.field_selector)
    if fields:
        found["fieldSelector"] = {"requirements": fields}
    labels = _label_requirements(asked.label_selector)
    if labels:
        found["labelSelector"] = {"requirements": labels}
    return found


def _field_requirements(text: str) -> Sequence[Mapping[str, Any]]:
    if not text:
        return ()
    try:
        parsed = selectors.parse_fields(text).requirements
    except selectors.SelectorError:
        return ()
    return [{"key": r.field, "operator": _FIELD_OPERATORS[r.operator], "values": [r.value]} for r in parsed]


def _label_requirements(text: str) -> Sequence[Mapping[str, Any]]:
    if not text:
        return ()
    try:
        parsed = selectors.parse_labels(text).requirements
    except selectors.SelectorError:
        return ()
    return [
        {"key": r.key, "operator": _LABEL_OPERATORS[r.operator], **({"values": sorted(r.values)} if r.values else {})}
        for r in parsed
        if r.operator in _LABEL_OPERATORS
    ]
