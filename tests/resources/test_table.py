"""What holds for every row: found by every key, served in the class it names, printable, convertible."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.resources.filling import filled
from tiphys.api import apps_v1, core_v1, events_v1
from tiphys.api.kinds import KINDS
from tiphys.machinery import codec
from tiphys.resources import metadata, table
from tiphys.resources.rules import Resource

ROWS = table.ALL
NOW = datetime(2026, 1, 31, 9, tzinfo=UTC)


def name(row: Resource) -> str:
    return f"{row.group_resource}/{row.version}"


every_row = pytest.mark.parametrize("row", ROWS, ids=name)
every_stored_row = pytest.mark.parametrize("row", [row for row in ROWS if not row.virtual], ids=name)


@every_row
def test_a_row_is_found_by_path_kind_class_and_name(row: Resource) -> None:
    assert table.by_path(row.group, row.version, row.plural) is row
    assert table.by_kind(row.group, row.version, row.kind) is row
    assert table.by_class(row.cls) is row
    qualified = f"{row.plural}.{row.version}.{row.group}" if row.group else row.plural
    assert table.find(qualified) is row


@every_row
def test_a_row_names_the_generated_class(row: Resource) -> None:
    assert KINDS[row.group, row.version, row.kind].rpartition(".")[2] == row.cls.__name__
    obj = row.cls()
    assert (obj.apiVersion, obj.kind) == (row.api_version, row.kind)


@every_row
def test_a_filled_object_survives_the_codec_byte_for_byte(row: Resource) -> None:
    encoded = codec.encode(filled(row))
    prefix = f'{{"apiVersion":"{row.api_version}","kind":"{row.kind}","metadata":{{'
    assert encoded.startswith(prefix.encode())
    assert codec.encode(codec.decode(row.cls, encoded)) == encoded


@every_stored_row
def test_defaults_are_idempotent(row: Resource) -> None:
    for obj in (filled(row), row.cls()):
        row.strategy.default(obj)
        once = codec.encode(obj)
        row.strategy.default(obj)
        assert codec.encode(obj) == once


@every_stored_row
def test_rules_take_any_object_that_decodes(row: Resource) -> None:
    """Empty and full objects alike are judged, never choked on, and the old one is left alone."""
    for make in (lambda: filled(row), row.cls):
        obj, old = make(), make()
        row.strategy.default(obj)
        row.strategy.default(old)
        before = codec.encode(old)
        row.strategy.prepare_for_create(obj)
        assert all(error.path is not None for error in row.strategy.validate_create(obj))
        for strategy in [row.strategy, *(sub.strategy for sub in row.subresources if sub.strategy)]:
            new = codec.copy(old)
            strategy.prepare_for_update(new, old)
            strategy.validate_update(new, old)
            strategy.warnings(new, old)
        metadata.validate_create(row, obj)
        metadata.validate_update(row, obj, old)
        assert codec.encode(old) == before


@every_stored_row
def test_cells_and_selectable_fields_of_empty_and_full_objects(row: Resource) -> None:
    for obj in (filled(row), row.cls()):
        for column in row.columns:
            assert isinstance(column.cell(obj, NOW), str | int | bool), column.name
        for field, read in row.fields.items():
            assert isinstance(read(obj), str), field


@every_stored_row
def test_conversion_to_the_stored_form_and_back(row: Resource) -> None:
    stored = table.stored_as(row)
    assert stored.to_storage is None
    if row.to_storage is None or row.from_storage is None:
        assert stored is row
        return
    obj = filled(row)
    assert isinstance(row.to_storage(obj), stored.cls)
    assert row.from_storage(row.to_storage(obj)).metadata.name == obj.metadata.name


def test_events_lose_nothing_between_the_groups() -> None:
    row = table.by_class(events_v1.Event)
    event = filled(row)
    assert row.from_storage(row.to_storage(event)) == event  # type: ignore[misc]
    core = filled(table.by_class(core_v1.Event))
    assert row.to_storage(row.from_storage(core)) == core  # type: ignore[misc]


@pytest.mark.parametrize(
    ("asked", "kind", "group"),
    [
        ("po", "Pod", ""),
        ("Deployment", "Deployment", "apps"),
        ("deploy.apps", "Deployment", "apps"),
        ("events", "Event", ""),
        ("events.events.k8s.io", "Event", "events.k8s.io"),
        ("ev.v1.events.k8s.io", "Event", "events.k8s.io"),
        ("ing.networking", "Ingress", "networking.k8s.io"),
    ],
)
def test_names_that_users_type(asked: str, kind: str, group: str) -> None:
    row = table.find(asked)
    assert (row.kind, row.group) == (kind, group)


def test_unknown_names_are_lookup_errors() -> None:
    for call in (
        lambda: table.find("nothing"),
        lambda: table.find("pods.apps"),
        lambda: table.by_path("", "v1", "deployments"),
        lambda: table.by_kind("apps", "v1", "Pod"),
        lambda: table.by_class(apps_v1.DeploymentSpec),
    ):
        with pytest.raises(LookupError):
            call()


@every_row
def test_the_compatibility_page_tells_of_every_row(row: Resource) -> None:
    page = Path(__file__).parents[2] / "docs" / "compatibility.md"
    line = f"| {row.group_resource} | {row.version} |"
    (found,) = [text for text in page.read_text().splitlines() if text.startswith(line)]
    for subresource in row.subresources:
        assert subresource.name in found
