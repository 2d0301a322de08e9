"""Who may act as whom, in which mode."""

from collections.abc import Sequence
from typing import Any

import pytest

from tiphys.apiserver.authentication.impersonation import Impersonation, wanted_user
from tiphys.apiserver.seams import Attributes, Decision
from tiphys.machinery import errors
from tiphys.wire.exchange import Repeated, UserInfo

BOB = UserInfo("bob", groups=("system:authenticated",))
AGENT = UserInfo(
    "system:serviceaccount:default:agent",
    groups=("system:serviceaccounts",),
    extra={"authentication.kubernetes.io/node-name": ("n1",)},
)
LIST_PODS = Attributes("list", "", is_resource_request=True, version="v1", resource="pods", namespace="default")


class Rules:
    """Allows what is listed: verb, resource (with group and subresource) and name."""

    def __init__(self, *allowed: str) -> None:
        self.allowed = allowed
        self.asked: list[str] = []

    async def authorize(self, user: UserInfo, attributes: Attributes) -> Decision:
        parts = (attributes.group, attributes.resource, attributes.subresource)
        what = f"{attributes.verb} {'/'.join(filter(None, parts))} {attributes.name}".strip()
        self.asked.append(what)
        return Decision(what in self.allowed)


async def act(rules: Rules, requester: UserInfo, asked: Attributes = LIST_PODS, **wanted: Any) -> UserInfo:
    return await Impersonation(rules).user(requester, UserInfo(**wanted), asked)


async def test_the_unrestricted_verb_is_enough() -> None:
    rules = Rules("impersonate users jane", "impersonate groups dev", "impersonate authentication.k8s.io/uids 7")
    found = await act(rules, BOB, name="jane", uid="7", groups=("dev",))
    assert (found.name, found.uid, found.groups) == ("jane", "7", ("dev", "system:authenticated"))
    assert found.impersonator == BOB


ON = "impersonate-on:user-info:list pods"
AS = "impersonate:user-info authentication.k8s.io/"


async def test_a_user_may_be_acted_as_for_some_requests_only() -> None:
    rules = Rules(ON, f"{AS}users jane", f"{AS}groups dev", f"{AS}userextras/acme.com/a b")
    found = await act(rules, BOB, name="jane", groups=("dev",), extra={"acme.com/a": ("b",)})
    assert found.extra == {"acme.com/a": ("b",)}
    other = Attributes("delete", "", is_resource_request=True, version="v1", resource="pods", namespace="default")
    with pytest.raises(errors.Forbidden) as caught:
        await act(rules, BOB, other, name="jane")
    assert caught.value.message == (
        'pods is forbidden: User "bob" cannot impersonate-on:user-info:delete resource "pods" in API group "" '
        'in the namespace "default"'
    )


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ({"groups": ("system:masters",)}, "impersonating the system:masters group is not allowed"),
        ({"groups": ("",)}, "impersonating the empty string group is not allowed"),
        ({"extra": {"A.com/b": ("c",)}}, "impersonating an invalid key in extra is not allowed"),
        ({"extra": {"plain": ("c",)}}, "impersonating an invalid key in extra is not allowed"),
        ({"extra": {"a.com/b": ()}}, "impersonating empty values in extra is not allowed"),
    ],
)
async def test_what_no_constraint_lets_through(wanted: Any, why: str) -> None:
    everything = [f"{AS}users jane", f"{AS}groups system:masters", f"{AS}groups"]
    with pytest.raises(errors.Forbidden) as caught:
        await act(Rules(ON, *everything), BOB, name="jane", **wanted)
    assert why in caught.value.message


async def test_many_groups_are_asked_for_at_once() -> None:
    rules = Rules(ON, f"{AS}users jane", f"{AS}groups *")
    found = await act(rules, BOB, name="jane", groups=tuple("abcd"))
    assert len(found.groups) == 5
    with pytest.raises(errors.Forbidden):
        await act(rules, BOB, name="jane", groups=tuple("abc"))


async def test_an_agent_acts_as_the_node_it_runs_on() -> None:
    rules = Rules(
        "impersonate-on:associated-node:list pods", "impersonate:associated-node authentication.k8s.io/nodes *"
    )
    found = await act(rules, AGENT, name="system:node:n1")
    assert found.groups == ("system:nodes", "system:authenticated")
    for requester, name in ((AGENT, "system:node:n2"), (BOB, "system:node:n1")):
        with pytest.raises(errors.Forbidden):
            await act(rules, requester, name=name)


async def test_service_accounts_have_a_mode_of_their_own() -> None:
    verb = "impersonate:serviceaccount authentication.k8s.io/serviceaccounts robot"
    rules = Rules("impersonate-on:serviceaccount:list pods", verb)
    found = await act(rules, BOB, name="system:serviceaccount:team:robot")
    assert found.groups == ("system:serviceaccounts", "system:serviceaccounts:team", "system:authenticated")
    # The mode for users is not for them.
    with pytest.raises(errors.Forbidden):
        await act(
            Rules(ON, f"{AS}users system:serviceaccount:team:robot"), BOB, name="system:serviceaccount:team:robot"
        )


async def test_the_mode_that_let_somebody_through_is_asked_first() -> None:
    rules = Rules("impersonate users jane")
    impersonation = Impersonation(rules)
    for _ in range(2):
        await impersonation.user(BOB, UserInfo("jane"), LIST_PODS)
    assert rules.asked == [ON, "impersonate users jane", "impersonate users jane"]


async def test_strangers_stay_strangers() -> None:
    found = await act(Rules("impersonate users system:anonymous"), BOB, name="system:anonymous")
    assert found.groups == ("system:unauthenticated",)


def header(values: Sequence[str]) -> str:
    return Repeated(values) if len(values) > 1 else values[0]


def test_headers() -> None:
    assert wanted_user({"accept": "*/*"}) is None
    found = wanted_user(
        {
            "impersonate-user": "jane",
            "impersonate-uid": "7",
            "impersonate-group": header(["a,b", "c"]),
            "impersonate-extra-acme.com%2fproject": header(["x", "y"]),
        }
    )
    assert found == UserInfo("jane", "7", ("a,b", "c"), {"acme.com/project": ("x", "y")})
    with pytest.raises(errors.BadRequest, match="without impersonating a user name"):
        wanted_user({"impersonate-extra-a": "b"})
