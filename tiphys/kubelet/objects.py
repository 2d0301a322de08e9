"""ConfigMaps and Secrets that this node's Pods name, and no others: each watched by name while it is needed.

What the API lets a node see is limited to these; so is what it keeps in memory.
"""

import asyncio
import random as random_module
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from tiphys.api import core_v1
from tiphys.base.clock import Clock
from tiphys.client import Client, Informer
from tiphys.client.informer import Selection
from tiphys.machinery import codec

ObjectKind = Literal["configmap", "secret"]
#: Kind, namespace and name.
ObjectKey = tuple[ObjectKind, str, str]

_CLASSES: dict[ObjectKind, type[Any]] = {"configmap": core_v1.ConfigMap, "secret": core_v1.Secret}


@dataclass(slots=True)
class _Watched:
    informer: Informer[Any]
    task: asyncio.Task[None]
    users: set[str] = field(default_factory=set)


class WatchedObjects:
    """Reference counted by Pod uid. ``changed`` hears of the users of an object whenever it changes."""

    def __init__(
        self, client: Client, clock: Clock, random: random_module.Random, changed: Callable[[set[str]], None]
    ) -> None:
        self._client = client
        self._clock = clock
        self._random = random
        self._changed = changed
        self._watched: dict[ObjectKey, _Watched] = {}
        self._by_user: dict[str, set[ObjectKey]] = {}

    def use(self, user: str, keys: Iterable[ObjectKey]) -> None:
        """From now on ``user`` needs exactly ``keys``."""
        wanted = set(keys)
        before = self._by_user.get(user, set())
        for key in sorted(wanted - before):
            self._acquire(key).users.add(user)
        for key in sorted(before - wanted):
            self._release(key, user)
        if wanted:
            self._by_user[user] = wanted
        else:
            self._by_user.pop(user, None)

    def unread(self, user: str) -> list[tuple[ObjectKind, str]]:
        """Kind and name of what ``user`` needs and the API has not yet told of."""
        keys = sorted(self._by_user.get(user, ()))
        return [
            (kind, name) for kind, namespace, name in keys if not self._watched[kind, namespace, name].informer.synced
        ]

    async def ready(self, user: str) -> None:
        """Return once everything that ``user`` needs has been read."""
        waiting = [
            self._watched[key].informer.wait_synced()
            for key in self._by_user.get(user, ())
            if not self._watched[key].informer.synced
        ]
        if waiting:
            await asyncio.gather(*waiting)

    def get(self, key: ObjectKey) -> Any:
        """The object; None if there is none."""
        watched = self._watched.get(key)
        return watched.informer.get(f"{key[1]}/{key[2]}") if watched else None

    async def close(self) -> None:
        tasks = [w.task for w in self._watched.values()]
        self._watched.clear()
        self._by_user.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _acquire(self, key: ObjectKey) -> _Watched:
        found = self._watched.get(key)
        if found is not None:
            return found
        kind, namespace, name = key
        cls = _CLASSES[kind]
        informer: Informer[Any] = Informer(
            self._client.of(cls),
            Selection(namespace, "", f"metadata.name={name}"),
            codec.decoder(cls).decode,
            None,
            self._clock,
            self._random,
        )
        task = asyncio.get_running_loop().create_task(informer.run(), name=f"watch {kind} {namespace}/{name}")
        watched = _Watched(informer, task)

        def tell(*_: Any) -> None:
            if informer.synced:
                self._changed(set(watched.users))

        informer.add_handler(added=tell, updated=tell, deleted=tell)
        self._watched[key] = watched
        return watched

    def _release(self, key: ObjectKey, user: str) -> None:
        watched = self._watched.get(key)
        if watched is None:
            return
        watched.users.discard(user)
        if not watched.users:
            watched.task.cancel()
            del self._watched[key]


class PodSources:
    """The objects of one Pod's namespace, as environment and volumes read them."""

    def __init__(self, objects: WatchedObjects, namespace: str) -> None:
        self._objects = objects
        self._namespace = namespace

    def config_map(self, name: str) -> core_v1.ConfigMap | None:
        found: core_v1.ConfigMap | None = self._objects.get(("configmap", self._namespace, name))
        return found

    def secret(self, name: str) -> core_v1.Secret | None:
        found: core_v1.Secret | None = self._objects.get(("secret", self._namespace, name))
        return found


def keys_of(pod: core_v1.Pod, in_volumes: Iterable[tuple[str, str]], containers: Iterable[Any]) -> set[ObjectKey]:
    """All that the Pod names: in volumes, in variables, and to pull images."""
    namespace = pod.metadata.namespace
    found: set[ObjectKey] = set()

    def add(kind: ObjectKind, name: str | None) -> None:
        if name:
            found.add((kind, namespace, name))

    for kind, name in in_volumes:
        add("configmap" if kind == "configmap" else "secret", name)
    for reference in pod.spec.imagePullSecrets or ():
        add("secret", reference.name)
    for container in containers:
        for source in container.envFrom or ():
            add("configmap", source.configMapRef.name if source.configMapRef else None)
            add("secret", source.secretRef.name if source.secretRef else None)
        for variable in container.env or ():
            value = variable.valueFrom
            if value is None:
                continue
            add("configmap", value.configMapKeyRef.name if value.configMapKeyRef else None)
            add("secret", value.secretKeyRef.name if value.secretKeyRef else None)
    return found
