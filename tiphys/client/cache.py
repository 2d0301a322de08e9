"""A keyed, indexed collection of objects: what an informer keeps. No I/O."""

import builtins
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

V = TypeVar("V")


class Cache(Generic[V]):
    """Objects by key (``namespace/name``, or ``name``), and by the values that index functions give.

    Objects are shared with everybody and never changed; a new version replaces the old one.
    """

    def __init__(self) -> None:
        self._objects: dict[str, V] = {}
        self._functions: dict[str, Callable[[V], Iterable[str]]] = {}
        #: index -> value -> key -> object; empty buckets are removed.
        self._indexes: dict[str, dict[str, dict[str, V]]] = {}

    def add_index(self, name: str, function: Callable[[V], Iterable[str]]) -> None:
        """``function`` gives the values under which ``by_index(name, value)`` finds an object."""
        self._functions[name] = function
        self._indexes[name] = {}
        for key, obj in self._objects.items():
            self._insert(name, function(obj), key, obj)

    def has_index(self, name: str) -> bool:
        return name in self._functions

    def get(self, key: str) -> V | None:
        return self._objects.get(key)

    def list(self) -> builtins.list[V]:
        return [*self._objects.values()]

    def keys(self) -> Iterator[str]:
        return iter(self._objects)

    def __len__(self) -> int:
        return len(self._objects)

    def __contains__(self, key: str) -> bool:
        return key in self._objects

    def by_index(self, name: str, value: str) -> builtins.list[V]:
        """Objects with ``value`` in the index, oldest first; KeyError if there is no such index."""
        return [*self._indexes[name].get(value, {}).values()]

    def index_keys(self, name: str, value: str) -> builtins.list[str]:
        return [*self._indexes[name].get(value, {})]

    def put(self, key: str, obj: V) -> V | None:
        """Store and return what was there before."""
        old = self._objects.get(key)
        self._objects[key] = obj
        for name, function in self._functions.items():
            values = function(obj)
            if old is not None:
                self._remove(name, function(old), key, keep=values)
            self._insert(name, values, key, obj)
        return old

    def pop(self, key: str) -> V | None:
        """Remove and return what was there."""
        old = self._objects.pop(key, None)
        if old is not None:
            for name, function in self._functions.items():
                self._remove(name, function(old), key, keep=())
        return old

    def _insert(self, name: str, values: Iterable[str], key: str, obj: V) -> None:
        index = self._indexes[name]
        for value in values:
            index.setdefault(value, {})[key] = obj

    def _remove(self, name: str, values: Iterable[str], key: str, keep: Iterable[str]) -> None:
        index = self._indexes[name]
        for value in values:
            if value in keep:
                continue
            bucket = index.get(value)
            if bucket is None:
                continue
            bucket.pop(key, None)
            if not bucket:
                del index[value]
