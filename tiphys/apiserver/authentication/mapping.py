"""From the claims of a token to a user: by the name of a claim, or by an expression.

Source: Kubernetes docs, "Authenticating", Using Authentication Configuration.
"""

from collections.abc import Callable, Sequence
from collections.abc import Mapping as Map
from dataclasses import dataclass
from typing import Any, Final

from tiphys.apiserver.authentication.authenticator import TokenProblem
from tiphys.apiserver.expressions import Expression, ExpressionProblem
from tiphys.machinery.goformat import quote
from tiphys.wire.exchange import UserInfo

EMAIL: Final = "email"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a property of the user comes from: a claim and what is put before it, or an expression."""

    claim: str = ""
    prefix: str = ""
    expression: Expression | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """What must hold: a claim's value, or an expression, whose failure is told by ``message``."""

    claim: str = ""
    value: str = ""
    expression: Expression | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class Mapping:
    """All about one issuer's users."""

    username: Source
    groups: Source | None = None
    uid: Source | None = None
    extra: Sequence[tuple[str, Expression]] = ()
    claim_rules: Sequence[Rule] = ()
    user_rules: Sequence[Rule] = ()

    def user(self, claims: Map[str, Any]) -> UserInfo:
        """Raises TokenProblem."""
        name = self._name(claims)
        groups = self._groups(claims)
        uid = _text(self.uid, claims, "uid") if self.uid is not None else ""
        extra = {key: values for key, one in self.extra if (values := _values(one, claims, f"extra {key}"))}
        for rule in self.claim_rules:
            _check_claim(rule, claims)
        user = UserInfo(name, uid, tuple(groups), extra)
        shown = {"username": name, "uid": uid, "groups": groups, "extra": {k: list(v) for k, v in extra.items()}}
        for rule in self.user_rules:
            _check_user(rule, shown)
        return user

    def _name(self, claims: Map[str, Any]) -> str:
        source = self.username
        name = _text(source, claims, "username")
        if source.claim == EMAIL and claims.get("email_verified", True) is not True:
            if not isinstance(claims["email_verified"], bool):
                raise TokenProblem("oidc: parse 'email_verified' claim: a boolean is expected")
            raise TokenProblem("oidc: email not verified")
        if not name:
            raise TokenProblem("oidc: username claim is empty")
        return source.prefix + name

    def _groups(self, claims: Map[str, Any]) -> list[str]:
        source = self.groups
        if source is None:
            return []
        if source.expression is not None:
            return list(_values(source.expression, claims, "groups"))
        found = claims.get(source.claim)
        if found is None:
            return []
        listed = [found] if isinstance(found, str) else found
        if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
            raise TokenProblem(f"oidc: parse groups claim {quote(source.claim)}: a string or strings are expected")
        return [source.prefix + one for one in listed]


def _text(source: Source, claims: Map[str, Any], what: str) -> str:
    if source.expression is not None:
        return str(_evaluated(source.expression, {"claims": claims}, what, lambda found: isinstance(found, str)))
    found = claims.get(source.claim)
    if found is None:
        raise TokenProblem(f"oidc: parse {what} claims {quote(source.claim)}: claim not present")
    if not isinstance(found, str):
        raise TokenProblem(f"oidc: parse {what} claims {quote(source.claim)}: a string is expected")
    return found


def _values(expression: Expression, claims: Map[str, Any], what: str) -> tuple[str, ...]:
    """Strings, one or several; empty ones are none."""

    def fits(found: Any) -> bool:
        listed = isinstance(found, list | tuple)
        return found is None or isinstance(found, str) or (listed and all(isinstance(one, str) for one in found))

    found = _evaluated(expression, {"claims": claims}, what, fits)
    listed = [found] if isinstance(found, str) else (found or ())
    return tuple(one for one in listed if one)


def _evaluated(expression: Expression, variables: Map[str, Any], what: str, fits: Callable[[Any], bool]) -> Any:
    try:
        found = expression.evaluate(variables)
    except ExpressionProblem as problem:
        raise TokenProblem(f"oidc: error evaluating {what} claim expression: {problem}") from problem
    if not fits(found):
        raise TokenProblem(f"oidc: error evaluating {what} claim expression: unexpected type {type(found).__name__}")
    return found


def _check_claim(rule: Rule, claims: Map[str, Any]) -> None:
    if rule.expression is not None:
        _check(rule, {"claims": claims}, "claim validation")
    elif rule.claim not in claims:
        raise TokenProblem(f"oidc: required claim {rule.claim} not present in ID token")
    elif claims[rule.claim] != rule.value:
        found = claims[rule.claim]
        raise TokenProblem(
            f"oidc: required claim {rule.claim} value does not match. Got = {found}, want = {rule.value}"
        )


def _check_user(rule: Rule, user: Map[str, Any]) -> None:
    _check(rule, {"user": user}, "user info validation")


def _check(rule: Rule, variables: Map[str, Any], what: str) -> None:
    assert rule.expression is not None
    try:
        holds = rule.expression.evaluate(variables)
    except ExpressionProblem as problem:
        raise TokenProblem(f"oidc: error evaluating {what} expression: {problem}") from problem
    if holds is not True:
        why = rule.message or f"{what} expression {quote(rule.expression.text)} failed"
        raise TokenProblem(f"oidc: error evaluating {what} expression: {why}")
