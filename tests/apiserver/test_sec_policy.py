"""Properties: remembered decisions agree with plain evaluation, whatever changes in between."""

import random

import pytest

from tiphys.api import meta_v1, rbac_v1
from tiphys.api.scalars import Object
from tiphys.apiserver import ApiServer, ApiServerConfig
from tiphys.apiserver.rbac import GROUP, Rbac, groups_of, path_matches, resource_matches, verb_matches
from tiphys.apiserver.seams import Attributes, Objects
from tiphys.store.memory import MemoryStore
from tiphys.wire.exchange import UserInfo

NAMES = ("", "a", "b")
VERBS = ("get", "list", "*")
RESOURCES = ("pods", "pods/log", "*", "*/log")
USERS = (UserInfo("jane"), UserInfo("joe", groups=("g",)), UserInfo("system:serviceaccount:n1:s"))


def slow(objects: Objects, user: UserInfo, asked: Attributes) -> bool:
    """The definition: some rule of some role of some binding of the user allows it."""
    names = {("User", user.name), *(("Group", group) for group in groups_of(user))}
    bindings = [*objects.all(GROUP, "clusterrolebindings")]
    if asked.namespace:
        bindings += objects.all(GROUP, "rolebindings", asked.namespace)
    for binding in bindings:
        subjects = {
            ("User", f"system:serviceaccount:{one.namespace}:{one.name}")
            if one.kind == "ServiceAccount"
            else (one.kind, one.name)
            for one in binding.subjects or ()
        }
        if not names & subjects:
            continue
        plural = "clusterroles" if binding.roleRef.kind == "ClusterRole" else "roles"
        namespace = "" if plural == "clusterroles" else binding.metadata.namespace
        role = objects.find(GROUP, plural, namespace, binding.roleRef.name)
        for rule in (role.rules if role else None) or ():
            if not verb_matches(rule, asked.verb):
                continue
            if not asked.is_resource_request:
                if path_matches(rule, asked.path):
                    return True
            elif resource_matches(rule, asked.group, asked.resource, asked.subresource) and (
                not rule.resourceNames or asked.name in rule.resourceNames
            ):
                return True
    return False


def any_rule(chance: random.Random) -> rbac_v1.PolicyRule:
    if chance.random() < 0.2:
        return rbac_v1.PolicyRule(verbs=[chance.choice(VERBS)], nonResourceURLs=[chance.choice(("/a", "/a/*", "*"))])
    names = [name for name in chance.sample(NAMES, 1) if name]
    return rbac_v1.PolicyRule(
        verbs=[chance.choice(VERBS)],
        apiGroups=[chance.choice(("", "apps", "*"))],
        resources=chance.sample(RESOURCES, 2),
        resourceNames=names or None,
    )


def any_subject(chance: random.Random) -> rbac_v1.Subject:
    return chance.choice(
        (
            rbac_v1.Subject(kind="User", name="jane", apiGroup=GROUP),
            rbac_v1.Subject(kind="Group", name="g", apiGroup=GROUP),
            rbac_v1.Subject(kind="Group", name="system:authenticated", apiGroup=GROUP),
            rbac_v1.Subject(kind="ServiceAccount", name="s", namespace="n1"),
        )
    )


async def change(objects: Objects, chance: random.Random) -> None:
    """Write or delete one role or binding."""
    name, namespace = chance.choice(("x", "y")), chance.choice(("n1", "n2"))
    plural = chance.choice(("clusterroles", "roles", "clusterrolebindings", "rolebindings"))
    place = "" if plural.startswith("cluster") else namespace
    if objects.find(GROUP, plural, place, name) is not None:
        await objects.delete(GROUP, plural, place, name)
        return
    metadata = meta_v1.ObjectMeta(name=name, namespace=place)
    rules = [any_rule(chance) for _ in range(2)]
    kind = "ClusterRole" if place == "" else chance.choice(("ClusterRole", "Role"))
    reference = rbac_v1.RoleRef(apiGroup=GROUP, kind=kind, name=chance.choice(("x", "y")))
    subjects = [any_subject(chance)]
    made: Object
    if plural == "clusterroles":
        made = rbac_v1.ClusterRole(metadata=metadata, rules=rules)
    elif plural == "roles":
        # Paths belong to no namespace.
        made = rbac_v1.Role(metadata=metadata, rules=[rule for rule in rules if not rule.nonResourceURLs])
    elif plural == "clusterrolebindings":
        made = rbac_v1.ClusterRoleBinding(metadata=metadata, roleRef=reference, subjects=subjects)
    else:
        made = rbac_v1.RoleBinding(metadata=metadata, roleRef=reference, subjects=subjects)
    await objects.create(made)


def any_question(chance: random.Random, user: UserInfo) -> Attributes:
    if chance.random() < 0.2:
        return Attributes("get", chance.choice(("/a", "/a/b", "/c")), user)
    resource, _, subresource = chance.choice(("pods", "pods/log", "nodes")).partition("/")
    return Attributes(
        chance.choice(("get", "list", "delete")),
        "",
        user,
        is_resource_request=True,
        group=chance.choice(("", "apps")),
        resource=resource,
        subresource=subresource,
        namespace=chance.choice(("", "n1", "n2")),
        name=chance.choice(NAMES),
    )


@pytest.mark.parametrize("seed", range(5))
async def test_remembered_decisions_agree_with_the_definition(seed: int) -> None:
    chance = random.Random(seed)
    allowed = 0
    async with ApiServer(ApiServerConfig(), MemoryStore()) as server:
        objects = server.objects
        rbac = Rbac(objects)
        for _ in range(60):
            await change(objects, chance)
            for _ in range(20):
                user = chance.choice(USERS)
                asked = any_question(chance, user)
                wanted = slow(objects, user, asked)
                assert (await rbac.authorize(user, asked)).allowed is wanted
                assert bool(rbac.explanation(user, asked)) is wanted
                allowed += wanted
    assert allowed
