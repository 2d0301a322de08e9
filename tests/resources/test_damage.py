"""Whatever decodes is judged: no object, however odd, makes a rule or a cell raise."""

import random
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from tests.resources.filling import filled
from tiphys.machinery import codec
from tiphys.resources import metadata, table
from tiphys.resources.rules import Resource

NOW = datetime(2026, 1, 31, 9, tzinfo=UTC)
SEEDS = 25
ODD: tuple[Any, ...] = (
    *(None, "", 0, -1, 70000, True, "a b", "é", "%", "25%", "-5%", "None", "2" * 80, "9" * 30 + "%"),
    *("1.2.3.4", "::1", "300.1.1.1", "10.0.0.0/40", "/", "..", "a/b/c"),
)
ROWS = [row for row in table.RESOURCES if not row.virtual]


def damage(value: Any, dice: random.Random) -> None:
    """Change one thing somewhere inside."""
    keys: Any = list(value) if isinstance(value, dict) else range(len(value))
    if not keys:
        return
    key = dice.choice(keys)
    if isinstance(value[key], dict | list) and value[key] and dice.random() < 0.85:
        damage(value[key], dice)
    elif isinstance(value, dict) and dice.random() < 0.3:
        del value[key]
    elif isinstance(value, list) and dice.random() < 0.3:
        value.append(value[0])
    else:
        value[key] = dice.choice(ODD)


def damaged(row: Resource, seed: int) -> Any:
    dice = random.Random(seed)
    document = msgspec.json.decode(codec.encode(filled(row)))
    for _ in range(dice.randrange(1, 7)):
        damage(document, dice)
    document["apiVersion"], document["kind"] = row.api_version, row.kind
    try:
        return codec.decode(row.cls, msgspec.json.encode(document))
    except codec.DecodeError:
        return None


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.group_resource}/{row.version}")
def test_rules_judge_what_decodes(row: Resource) -> None:
    judged = 0
    for seed in range(SEEDS):
        obj, old = damaged(row, seed), filled(row)
        if obj is None:
            continue
        judged += 1
        row.strategy.default(obj)
        row.strategy.default(old)
        errors = [*metadata.validate_create(row, obj), *row.strategy.validate_create(obj)]
        row.strategy.warnings(obj, None)
        for strategy in [row.strategy, *(sub.strategy for sub in row.subresources if sub.strategy)]:
            for new, before in ((codec.copy(obj), old), (codec.copy(old), obj)):
                strategy.prepare_for_update(new, before)
                errors += [*metadata.validate_update(row, new, before), *strategy.validate_update(new, before)]
        assert all(str(error) for error in errors)
        for column in row.columns:
            column.cell(obj, NOW)
    assert judged > SEEDS / 6
