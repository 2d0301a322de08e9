"""Questions that are asked as creations: who is this, may they do that, what may I do?

Source: Kubernetes API reference, TokenReview, SelfSubjectReview,
SubjectAccessReview and its kin; apiserver's registries, by behaviour.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

from tiphys.api import authentication_v1, authorization_v1
from tiphys.api.scalars import Object
from tiphys.apiserver import decoding, negotiation
from tiphys.apiserver.authentication import Authentication, TokenProblem
from tiphys.apiserver.authorization import Union
from tiphys.apiserver.rbac import MASTERS, Rbac, groups_of
from tiphys.apiserver.reviewed import asked_attributes, selector_problems
from tiphys.apiserver.seams import Context, ResourceRoute
from tiphys.machinery import codec, errors, fields
from tiphys.wire.exchange import Response, UserInfo

AUTHENTICATION: Final = "authentication.k8s.io"
AUTHORIZATION: Final = "authorization.k8s.io"
JSON_HEADERS: Final = {"Content-Type": "application/json", "Cache-Control": "no-cache, private"}
ONE_OF: Final = "exactly one of nonResourceAttributes or resourceAttributes must be specified"

T = TypeVar("T", bound=Object)


def created(obj: Object) -> Response:
    return Response(201, JSON_HEADERS, codec.encode(obj))


def body(context: Context, cls: type[T], group: str) -> T:
    """The object in the request. Raises BadRequest, Invalid, NotAcceptable: no table is made of a review."""
    attributes = context.attributes
    if negotiation.accepted(context.request.headers.get("accept", ""), shapes=False) is None:
        raise errors.NotAcceptable(negotiation.NOT_ACCEPTABLE.format(", ".join(negotiation.media_types(cls))))
    obj: T = decoding.decode(cls, context.request, f"{group}/v1", cls.__name__, attributes.warnings)
    return obj


class Reviews:
    """Handlers of all reviews."""

    def __init__(self, authentication: Authentication, authorizer: Union, rbac: Rbac) -> None:
        self._authentication = authentication
        self._authorizer = authorizer
        self._rbac = rbac

    def routes(self) -> list[ResourceRoute]:
        handlers = (
            (AUTHENTICATION, "tokenreviews", self.token),
            (AUTHENTICATION, "selfsubjectreviews", self.self_subject),
            (AUTHORIZATION, "subjectaccessreviews", self.subject_access),
            (AUTHORIZATION, "localsubjectaccessreviews", self.local_subject_access),
            (AUTHORIZATION, "selfsubjectaccessreviews", self.self_subject_access),
            (AUTHORIZATION, "selfsubjectrulesreviews", self.self_subject_rules),
        )
        return [ResourceRoute(group, "v1", plural, "", handler) for group, plural, handler in handlers]

    async def token(self, context: Context) -> Response:
        review = body(context, authentication_v1.TokenReview, AUTHENTICATION)
        if not review.spec.token:
            raise errors.BadRequest("token is required for TokenReview in authentication")
        status = review.status = authentication_v1.TokenReviewStatus()
        try:
            found = await self._authentication.review(review.spec.token, review.spec.audiences or ())
        except TokenProblem as problem:
            status.error = str(problem)
            status.user = authentication_v1.UserInfo()
        else:
            status.authenticated = True
            status.user = user_info(found.user)
            status.audiences = list(found.audiences) or None
        return created(review)

    async def self_subject(self, context: Context) -> Response:
        review = body(context, authentication_v1.SelfSubjectReview, AUTHENTICATION)
        review.metadata.creationTimestamp = None
        review.status = authentication_v1.SelfSubjectReviewStatus(userInfo=user_info(context.user))
        return created(review)

    async def subject_access(self, context: Context) -> Response:
        review = body(context, authorization_v1.SubjectAccessReview, AUTHORIZATION)
        review.status = await self._status(_subject(review.spec, "SubjectAccessReview"), review.spec)
        return created(review)

    async def local_subject_access(self, context: Context) -> Response:
        review = body(context, authorization_v1.LocalSubjectAccessReview, AUTHORIZATION)
        namespace = context.attributes.namespace
        asked = review.spec.resourceAttributes
        if review.spec.nonResourceAttributes is not None:
            problem = fields.invalid("spec.nonResourceAttributes", None, "disallowed on this kind of request")
            raise errors.Invalid("LocalSubjectAccessReview", AUTHORIZATION, "", [problem])
        user = _subject(review.spec, "LocalSubjectAccessReview")
        if asked is not None and asked.namespace != namespace:
            raise errors.BadRequest(f"spec.resourceAttributes.namespace must match namespace: {namespace}")
        review.status = await self._status(user, review.spec)
        return created(review)

    async def self_subject_access(self, context: Context) -> Response:
        review = body(context, authorization_v1.SelfSubjectAccessReview, AUTHORIZATION)
        _check_one(review.spec, "SelfSubjectAccessReview", [])
        review.status = await self._status(context.user, review.spec)
        return created(review)

    async def _status(self, user: UserInfo, spec: Any) -> authorization_v1.SubjectAccessReviewStatus:
        asked, ignored = asked_attributes(user, spec)
        decision = await self._authorizer.authorize(user, asked)
        reason = decision.reason
        if decision.allowed and not reason and MASTERS not in user.groups:
            reason = self._rbac.explanation(user, asked)
        problems = [decision.error, *ignored] if decision.error else ignored
        return authorization_v1.SubjectAccessReviewStatus(
            allowed=decision.allowed,
            denied=decision.denied or None,
            reason=reason or None,
            evaluationError=errors.aggregate(problems) if problems else None,
        )

    async def self_subject_rules(self, context: Context) -> Response:
        review = body(context, authorization_v1.SelfSubjectRulesReview, AUTHORIZATION)
        namespace = review.spec.namespace
        if not namespace:
            raise errors.BadRequest("no namespace on request")
        status = review.status = authorization_v1.SubjectRulesReviewStatus()
        found = await self._authorizer.rules(context.user, namespace)
        status.resourceRules, status.nonResourceRules, status.incomplete = (
            found.resources,
            found.paths,
            found.incomplete,
        )
        if found.problems:
            status.evaluationError = errors.aggregate(found.problems)
        return created(review)


def user_info(user: UserInfo) -> authentication_v1.UserInfo:
    return authentication_v1.UserInfo(
        username=user.name,
        uid=user.uid or None,
        groups=list(groups_of(user)),
        extra={key: list(values) for key, values in user.extra.items()} or None,
    )


def _subject(spec: authorization_v1.SubjectAccessReviewSpec, kind: str) -> UserInfo:
    """Whom a review asks about. Raises Invalid."""
    problems = []
    if not spec.user and not spec.groups:
        text = "at least one of user or group must be specified"
        problems.append(fields.invalid("spec.user", spec.user or "", text))
    _check_one(spec, kind, problems)
    extra: Mapping[str, Sequence[str]] = {key.lower(): values for key, values in (spec.extra or {}).items()}
    return UserInfo(spec.user or "", spec.uid or "", tuple(spec.groups or ()), extra)


def _check_one(spec: Any, kind: str, problems: list[fields.FieldError]) -> None:
    if spec.resourceAttributes is not None and spec.nonResourceAttributes is not None:
        text = "cannot be specified in combination with resourceAttributes"
        problems.append(fields.invalid("spec.nonResourceAttributes", None, text))
    elif spec.resourceAttributes is None and spec.nonResourceAttributes is None:
        problems.append(fields.invalid("spec.resourceAttributes", None, ONE_OF))
    problems += selector_problems(spec)
    if problems:
        raise errors.Invalid(kind, AUTHORIZATION, "", problems)
