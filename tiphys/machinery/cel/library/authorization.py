"""``authorizer``: may the user (or a service account) do this. Source: Kubernetes docs, "CEL", "authorizer library".

Evaluation does not wait. Where a decision is not known yet, it stops with
``Undecided``; who evaluates finds the decision and evaluates again.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from tiphys.machinery.cel.errors import EvaluationError
from tiphys.machinery.cel.values import Opaque


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked. ``account`` is ``(namespace, name)`` where it is not the request's user."""

    verb: str = ""
    path: str = ""
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    field_selector: str = ""
    label_selector: str = ""
    account: tuple[str, str] | None = None


class Answer(NamedTuple):
    allowed: bool
    reason: str = ""
    error: str = ""


class Undecided(Exception):
    """The decision has to be found first."""

    def __init__(self, question: Question) -> None:
        super().__init__(question)
        self.question = question


Ask = Callable[[Question], Answer]


class _Check(Opaque):
    __slots__ = ("ask", "question")

    def __init__(self, ask: Ask, question: Question) -> None:
        self.ask = ask
        self.question = question


class Authorizer(_Check):
    __slots__ = ()
    cel_type = "kubernetes.authorization.Authorizer"

    def __init__(self, ask: Ask, question: Question | None = None) -> None:
        super().__init__(ask, question or Question())


class PathCheck(_Check):
    __slots__ = ()
    cel_type = "kubernetes.authorization.PathCheck"


class GroupCheck(_Check):
    __slots__ = ()
    cel_type = "kubernetes.authorization.GroupCheck"


class ResourceCheck(_Check):
    __slots__ = ()
    cel_type = "kubernetes.authorization.ResourceCheck"


class Decision(Opaque):
    __slots__ = ("answer",)
    cel_type = "kubernetes.authorization.Decision"

    def __init__(self, answer: Answer) -> None:
        self.answer = answer


CHECK_COST: Final = 350_000


def _asked(check: _Check, verb: str) -> Decision:
    return Decision(check.ask(replace(check.question, verb=verb)))


def _named(field: str, value: str) -> dict[str, Any]:
    return {field: value}


def _with(kind: type[_Check], field: str) -> Callable[[_Check, str], _Check]:
    return lambda check, value: kind(check.ask, replace(check.question, **_named(field, value)))


def _account(check: _Check, namespace: str, name: str) -> Authorizer:
    if not namespace or not name:
        raise EvaluationError("invalid service account namespace or name")
    return Authorizer(check.ask, replace(check.question, account=(namespace, name)))


def _path(check: _Check, path: str) -> PathCheck:
    if not path:
        raise EvaluationError("path must not be empty")
    return PathCheck(check.ask, replace(check.question, path=path))


_A: Final = Authorizer.cel_type
_P: Final = PathCheck.cel_type
_G: Final = GroupCheck.cel_type
_R: Final = ResourceCheck.cel_type
_D: Final = Decision.cel_type


def _check_charge(args: Any, result: Any) -> int:
    return CHECK_COST


ROWS: Final[tuple[tuple[Any, ...], ...]] = (
    (".path", "authorizer_path", f"{_A}, string -> {_P}", _path),
    (".group", "authorizer_group", f"{_A}, string -> {_G}", _with(GroupCheck, "group")),
    (".serviceAccount", "authorizer_serviceaccount", f"{_A}, string, string -> {_A}", _account),
    (".resource", "groupcheck_resource", f"{_G}, string -> {_R}", _with(ResourceCheck, "resource")),
    (".subresource", "resourcecheck_subresource", f"{_R}, string -> {_R}", _with(ResourceCheck, "subresource")),
    (".namespace", "resourcecheck_namespace", f"{_R}, string -> {_R}", _with(ResourceCheck, "namespace")),
    (".name", "resourcecheck_name", f"{_R}, string -> {_R}", _with(ResourceCheck, "name")),
    (".fieldSelector", "authorizer_fieldselector", f"{_R}, string -> {_R}", _with(ResourceCheck, "field_selector")),
    (".labelSelector", "authorizer_labelselector", f"{_R}, string -> {_R}", _with(ResourceCheck, "label_selector")),
    (".check", "pathcheck_check", f"{_P}, string -> {_D}", _asked, _check_charge),
    (".check", "resourcecheck_check", f"{_R}, string -> {_D}", _asked, _check_charge),
    (".allowed", "decision_allowed", f"{_D} -> bool", lambda one: one.answer.allowed),
    (".reason", "decision_reason", f"{_D} -> string", lambda one: one.answer.reason),
    (".errored", "decision_errored", f"{_D} -> bool", lambda one: bool(one.answer.error)),
    (".error", "decision_error", f"{_D} -> string", lambda one: one.answer.error),
)
