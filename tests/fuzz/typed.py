"""Objects of any kind, with values of the right type most of the time: what gets as far as validation."""

import random
from functools import cache
from typing import Any, Final

import msgspec

from tests.apiserver.test_bad_input import ODD

DEPTH_MAX: Final = 7
TEXTS: Final = (
    *("", "a", "o", "d", "web", "80", "Always", "TCP", "ClusterIP", "1Gi", "100m", "-1", "0", "1h", "a/b", "a.b.c"),
    *("10.0.0.1", "::1", "10.0.0.0/8", "*", "*.a.b", "/", "/x", "../x", "%", "10%", "é", "x" * 260, "a b", "{}", "[]"),
    *("2026-01-01T00:00:00Z", "* * * * *", "TZ=x * * * * *", "self.x", "1 +", "$(A)", "{.a}", "{.a[", "object.x > 1"),
    *(
        "v1",
        "apps/v1",
        "Pod",
        "pods",
        "True",
        "Equal",
        "Exists",
        "In",
        "kubernetes.io/x",
        "Europe/Paris",
        "\n",
        "(a+)+$",
    ),
)
NUMBERS: Final = (0, 1, 2, -1, 80, 100, 65535, 65536, 2**31 - 1, 2**31, 2**63 - 1, 2**63, -(2**63))


@cache
def fields_of(cls: type) -> tuple[tuple[str, Any], ...]:
    return tuple((field.encode_name, field.type) for field in msgspec.inspect.type_info(cls).fields)  # type: ignore[union-attr]


def value_of(dice: random.Random, info: Any, depth: int) -> Any:
    """A value for one type; now and then for another."""
    if dice.random() < 0.02:
        return dice.choice(ODD)
    if isinstance(info, msgspec.inspect.UnionType):
        some = [each for each in info.types if not isinstance(each, msgspec.inspect.NoneType)]
        return value_of(dice, dice.choice(some), depth)
    if isinstance(info, msgspec.inspect.StructType):
        return object_of(dice, info.cls, depth + 1)
    if isinstance(info, msgspec.inspect.ListType | msgspec.inspect.VarTupleType):
        count = 0 if depth > DEPTH_MAX else dice.choice((0, 1, 1, 2, 3))
        return [value_of(dice, info.item_type, depth + 1) for _ in range(count)]
    if isinstance(info, msgspec.inspect.DictType):
        return {dice.choice(TEXTS): value_of(dice, info.value_type, depth + 1) for _ in range(dice.choice((0, 1, 2)))}
    if isinstance(info, msgspec.inspect.BoolType):
        return dice.random() < 0.5
    if isinstance(info, msgspec.inspect.IntType):
        return dice.choice(NUMBERS)
    if isinstance(info, msgspec.inspect.FloatType):
        return dice.choice((0.0, 1.5, -1e300, 3))
    if isinstance(info, msgspec.inspect.BytesType):
        return dice.choice(("", "dg==", "x", "===="))
    return dice.choice(TEXTS)


def object_of(dice: random.Random, cls: type, depth: int = 0) -> dict[str, Any]:
    """Some of the fields of a Struct: fewer, the deeper it stands."""
    fields = fields_of(cls)
    chance = 0.9 if depth <= 1 else min(0.7, 4 / (len(fields) + 1)) if depth <= DEPTH_MAX else 0.1
    found = {name: value_of(dice, info, depth) for name, info in fields if dice.random() < chance}
    found.pop("apiVersion", None)
    found.pop("kind", None)
    return found
