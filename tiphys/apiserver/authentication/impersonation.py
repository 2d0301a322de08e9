"""Acting as another: which headers ask for it, and who may.

The modes of constrained impersonation are tried before the unrestricted one;
each asks whether this very request may be made in that mode
(``impersonate-on:<mode>:<verb>``) and whether that user may be acted as
(``impersonate:<mode>``). The mode that last let somebody through is tried first.
Source: Kubernetes docs, "User Impersonation"; KEP-5284 Constrained Impersonation.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple
from urllib.parse import unquote

from tiphys.apiserver.authentication.authenticator import UNAUTHENTICATED, with_authenticated
from tiphys.apiserver.authorization.refusal import forbidden
from tiphys.apiserver.seams import ANONYMOUS, Attributes, Authorizer
from tiphys.machinery import errors, names
from tiphys.machinery.goformat import quote
from tiphys.wire.exchange import UserInfo, header_values

SERVICE_ACCOUNT_PREFIX: Final = "system:serviceaccount:"
NODE_PREFIX: Final = "system:node:"
NODES_GROUP: Final = "system:nodes"
MASTERS: Final = "system:masters"
NODE_NAME_KEY: Final = "authentication.kubernetes.io/node-name"
ASSOCIATED_KEYS: Final = "authentication.kubernetes.io/associated-node-keys"
AUTHENTICATION: Final = "authentication.k8s.io"
EXTRA_HEADER: Final = "impersonate-extra-"
#: From so many values on, one question about all of them is tried first.
MANY: Final = 4
REQUESTERS_REMEMBERED_MAX: Final = 1024


class Mode(NamedTuple):
    """One way to act as another. ``name`` is empty for the unrestricted one."""

    name: str
    #: Whether the mode is for this user, asked by that one.
    fits: Callable[[UserInfo, UserInfo], bool]

    @property
    def verb(self) -> str:
        return f"impersonate:{self.name}" if self.name else "impersonate"


def wanted_user(headers: Mapping[str, str]) -> UserInfo | None:
    """Whom the headers name, just as they name him; None if nobody. Raises BadRequest."""
    if not any(name.startswith("impersonate-") for name in headers):
        return None
    name, uid = headers.get("impersonate-user", ""), headers.get("impersonate-uid", "")
    groups = header_values(headers, "impersonate-group")
    extra: dict[str, Sequence[str]] = {}
    for header in headers:
        if header.startswith(EXTRA_HEADER):
            key = unquote(header.removeprefix(EXTRA_HEADER))
            extra[key] = (*extra.get(key, ()), *header_values(headers, header))
    if name:
        return UserInfo(name, uid, groups, extra)
    if uid or groups or extra:
        shown = _go_user(uid, groups, extra)
        raise errors.BadRequest(f"requested {shown} without impersonating a user name")
    return None


def node_name(user: str) -> str:
    """The node that a user name stands for; empty if it stands for none."""
    name = user.removeprefix(NODE_PREFIX)
    return name if name != user and name and not names.dns1123_subdomain(name) else ""


def service_account(user: str) -> tuple[str, str] | None:
    """Namespace and name that a user name stands for."""
    parts = user.removeprefix(SERVICE_ACCOUNT_PREFIX).split(":")
    if not user.startswith(SERVICE_ACCOUNT_PREFIX) or len(parts) != 2 or not all(parts):
        return None
    return parts[0], parts[1]


def _only_named(user: UserInfo) -> bool:
    return not user.uid and not user.groups and not user.extra


def _is_associated_node(user: UserInfo, requester: UserInfo) -> bool:
    name = node_name(user.name)
    own = tuple(requester.extra.get(NODE_NAME_KEY, ()))
    return _only_named(user) and bool(name) and service_account(requester.name) is not None and own == (name,)


MODES: Final = (
    Mode("associated-node", _is_associated_node),
    Mode("arbitrary-node", lambda user, _: _only_named(user) and bool(node_name(user.name))),
    Mode("serviceaccount", lambda user, _: _only_named(user) and service_account(user.name) is not None),
    Mode("user-info", lambda user, _: not node_name(user.name) and service_account(user.name) is None),
    Mode("", lambda user, requester: True),
)


class Impersonation:
    """Decides who acts as whom."""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer
        self._last: dict[tuple[str, tuple[str, ...]], Mode] = {}

    async def user(self, requester: UserInfo, wanted: UserInfo, asked: Attributes) -> UserInfo:
        """The user that ``requester`` becomes for what is ``asked``. Raises Forbidden."""
        who = (requester.name, requester.groups)
        last = self._last.get(who)
        modes = MODES if last is None else (last, *(mode for mode in MODES if mode is not last))
        first: errors.StatusError | None = None
        for mode in modes:
            if not mode.fits(wanted, requester):
                continue
            try:
                await self._check(mode, requester, wanted, replace(asked, user=requester))
            except errors.Forbidden as problem:
                first = first or problem
                continue
            self._remember(who, mode)
            return replace(_complete(mode, wanted), impersonator=requester)
        raise first or errors.InternalError("all impersonation modes failed")

    def _remember(self, who: tuple[str, tuple[str, ...]], mode: Mode) -> None:
        if len(self._last) >= REQUESTERS_REMEMBERED_MAX:
            self._last.clear()
        self._last[who] = mode

    async def _check(self, mode: Mode, requester: UserInfo, wanted: UserInfo, asked: Attributes) -> None:
        if mode.name == "associated-node":
            # Which node it is has been checked; the answer must be the same for all of them.
            requester = replace(requester, extra={ASSOCIATED_KEYS: sorted(requester.extra)})
            asked = replace(asked, user=requester)
        if mode.name:
            await self._may(replace(asked, verb=f"impersonate-on:{mode.name}:{asked.verb}"))
        question = Attributes(mode.verb, "", requester, is_resource_request=True, version="v1")
        await self._may(_about_name(question, mode, wanted))
        if wanted.uid:
            await self._may(replace(question, group=AUTHENTICATION, resource="uids", name=wanted.uid))
        await self._check_groups(replace(question, group=_group(mode), resource="groups"), mode, wanted.groups)
        await self._check_extra(replace(question, group=AUTHENTICATION, resource="userextras"), mode, wanted.extra)

    async def _check_groups(self, question: Attributes, mode: Mode, groups: Sequence[str]) -> None:
        if mode.name:
            if "" in groups:
                raise forbidden(question, "impersonating the empty string group is not allowed")
            if MASTERS in groups:
                question = replace(question, name=MASTERS)
                raise forbidden(question, "impersonating the system:masters group is not allowed")
            if len(groups) >= MANY and await self._allowed(replace(question, name="*")):
                return
        for group in groups:
            await self._may(replace(question, name=group))

    async def _check_extra(self, question: Attributes, mode: Mode, extra: Mapping[str, Sequence[str]]) -> None:
        if mode.name:
            problem = _extra_problem(extra)
            if problem:
                raise forbidden(question, problem)
            many = len(extra) >= MANY or sum(map(len, extra.values())) >= MANY
            if many and await self._allowed(replace(question, subresource="*", name="*")):
                return
        for key, values in extra.items():
            for value in values:
                await self._may(replace(question, subresource=key, name=value))

    async def _allowed(self, question: Attributes) -> bool:
        return (await self._authorizer.authorize(question.user, question)).allowed

    async def _may(self, question: Attributes) -> None:
        decision = await self._authorizer.authorize(question.user, question)
        if not decision.allowed:
            raise forbidden(question, ": ".join(filter(None, (decision.error, decision.reason))))


def _group(mode: Mode) -> str:
    return AUTHENTICATION if mode.name else ""


def _about_name(question: Attributes, mode: Mode, wanted: UserInfo) -> Attributes:
    node = node_name(wanted.name)
    if mode.name and node:
        name = "*" if mode.name == "associated-node" else node
        return replace(question, group=AUTHENTICATION, resource="nodes", name=name)
    account = service_account(wanted.name)
    if account is not None:
        return replace(question, group=_group(mode), resource="serviceaccounts", namespace=account[0], name=account[1])
    return replace(question, group=_group(mode), resource="users", name=wanted.name)


def _complete(mode: Mode, wanted: UserInfo) -> UserInfo:
    """``wanted`` with the groups that such a user always has."""
    groups = list(wanted.groups)
    account = service_account(wanted.name)
    if account is not None and not groups:
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{account[0]}"]
    if mode.name and node_name(wanted.name):
        groups = [NODES_GROUP]
    if wanted.name != ANONYMOUS.name:
        return replace(wanted, groups=with_authenticated(groups))
    return replace(wanted, groups=tuple(groups if UNAUTHENTICATED in groups else [*groups, UNAUTHENTICATED]))


def _extra_problem(extra: Mapping[str, Sequence[str]]) -> str:
    for key, values in extra.items():
        if not key:
            return "impersonating the empty string key in extra is not allowed"
        problem = _key_problem(key)
        if problem:
            what = f"extra.key: Invalid value: {quote(key)}: {problem}"
            return f"impersonating an invalid key in extra is not allowed: {what}"
        if key != key.lower():
            return f"impersonating a non-lowercase key in extra is not allowed: {quote(key)}"
        if not values:
            return "impersonating empty values in extra is not allowed"
        if "" in values:
            return "impersonating the empty string value in extra is not allowed"
    return ""


def _key_problem(key: str) -> str:
    domain, slash, path = key.partition("/")
    if not slash or not domain or not path:
        return 'must be a domain-prefixed path (such as "acme.io/foo")'
    found = names.dns1123_subdomain(domain)
    return found[0] if found else ""


def _go_user(uid: str, groups: Sequence[str], extra: Mapping[str, Sequence[str]]) -> str:
    """A user as Go prints the structure."""

    def strings(values: Sequence[str], nothing: str) -> str:
        return "[]string{" + ", ".join(map(quote, values)) + "}" if values else nothing

    pairs = ", ".join(f"{quote(key)}:{strings(extra[key], '[]string{}')}" for key in sorted(extra))
    mapping = f"map[string][]string{{{pairs}}}" if extra else "map[string][]string(nil)"
    listed = strings(groups, "[]string(nil)")
    return f'&user.DefaultInfo{{Name:"", UID:{quote(uid)}, Groups:{listed}, Extra:{mapping}}}'
