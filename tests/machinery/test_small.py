"""Names, times, metadata, conditions, percentages, hashes."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.api import apps_v1, core_v1, meta_v1
from tiphys.machinery import codec, conditions, goformat, hashing, intstr, meta, names, times

NOW = datetime(2026, 1, 31, 8, 0, 0, 123456, tzinfo=UTC)
LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    "with an alphanumeric character (e.g. 'my-name',  or '123-abc', "
    "regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)


@pytest.mark.parametrize(
    ("validate", "value", "found"),
    [
        (names.dns1123_label, "a-1", []),
        (names.dns1123_label, "", [LABEL]),
        (names.dns1123_label, "A", [LABEL]),
        (names.dns1123_label, "a\n", [LABEL]),
        (names.dns1123_label, "a.b", ["must not contain dots"]),
        (names.dns1123_label, "a" * 64, ["must be no more than 63 bytes"]),
        (names.dns1123_subdomain, "a.b-c.d", []),
        (names.dns1123_subdomain, "a..b", [SUBDOMAIN]),
        (names.dns1123_subdomain, "a" * 254, ["must be no more than 253 bytes"]),
        (names.dns1035_label, "a1", []),
        (names.qualified_name, "a.b/C_d", []),
        (names.qualified_name, "/a", ["prefix part must be non-empty"]),
        (names.qualified_name, "A/a", ["prefix part " + SUBDOMAIN]),
        (names.label_value, "", []),
        (names.path_segment, "a/%", ["may not contain '/'", "may not contain '%'"]),
        (names.path_segment, "..", ["may not be '..'"]),
        (names.config_map_key, "a_B.c-1", []),
        (names.config_map_key, "..", ["must not be '..'"]),
        (names.config_map_key, "..a", ["must not start with '..'"]),
        (names.relaxed_env_var_name, "1 a!", []),
        (names.port_number, 0, ["must be between 1 and 65535, inclusive"]),
        (names.port_name, "http-1", []),
        (names.port_name, "a" * 16, ["must be no more than 15 bytes"]),
        (names.port_name, "1-", ["must contain at least one letter (a-z)", "must not begin or end with a hyphen"]),
        (names.ip_address, "10.0.0.1", []),
        (names.ip_address, "fe80::1", []),
        (names.ip_address, "10.0.0.256", ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]),
        (names.cidr, "10.0.0.1", ["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"]),
        (names.percent, "5%", []),
    ],
)
def test_names(validate: object, value: object, found: list[str]) -> None:
    assert validate(value) == found  # type: ignore[operator]


def test_messages_that_start_alike() -> None:
    assert names.dns1035_label("1a")[0].startswith("a DNS-1035 label must consist of")
    assert names.qualified_name("a/b/c")[0].endswith(
        "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
    )
    assert names.qualified_name("")[0] == "name part must be non-empty"
    assert names.mask_trailing_dash("web-") == "wea"
    assert names.dns1123_label(names.mask_trailing_dash("web-")) == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"),
        (-0.5, "0s"),
        (0, "0s"),
        (1.9, "1s"),
        (119, "119s"),
        (120, "2m"),
        (125, "2m5s"),
        (599, "9m59s"),
        (600, "10m"),
        (10799, "179m"),
        (10800, "3h"),
        (10800 + 300, "3h5m"),
        (8 * 3600, "8h"),
        (47 * 3600, "47h"),
        (48 * 3600, "2d"),
        (50 * 3600, "2d2h"),
        (192 * 3600, "8d"),
        (729 * 86400, "729d"),
        (730 * 86400, "2y"),
        (731 * 86400, "2y1d"),
        (8 * 365 * 86400, "8y"),
    ],
)
def test_ages(seconds: float, text: str) -> None:
    assert times.human_duration(seconds) == text


def test_instants() -> None:
    assert times.format_time(NOW) == "2026-01-31T08:00:00Z"
    assert times.format_micro(NOW) == "2026-01-31T08:00:00.123456Z"
    assert times.format_time(datetime(5, 1, 1, tzinfo=UTC)) == "0005-01-01T00:00:00Z"
    assert times.parse("2026-01-31T10:00:00.1234567+02:00") == NOW
    assert times.parse("2026-01-31T08:00:00Z") == NOW.replace(microsecond=0)


@given(st.datetimes(timezones=st.just(UTC)), st.integers(-12 * 60, 12 * 60))
def test_instants_round_trip(instant: datetime, offset: int) -> None:
    if not timedelta(1) < instant - datetime.min.replace(tzinfo=UTC) < datetime.max - datetime.min - timedelta(1):
        return
    assert times.parse(times.format_micro(instant)) == instant
    elsewhere = instant.astimezone(timezone(timedelta(minutes=offset)))
    assert times.format_micro(elsewhere) == times.format_micro(instant)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'parsing time "" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "2006"'),
        ("2026-01-31", 'parsing time "2026-01-31" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "T"'),
        ("2026-13-31T08:00:00Z", 'parsing time "2026-13-31T08:00:00Z": month out of range'),
        ("2026-02-30T08:00:00Z", 'parsing time "2026-02-30T08:00:00Z": day out of range'),
        ("2026-01-31T08:00:00Zx", 'parsing time "2026-01-31T08:00:00Zx": extra text: "x"'),
    ],
)
def test_what_is_no_instant(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        times.parse(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1h2m3s", 3723), ("-1.5h", -5400), ("300ms", 0.3), ("0", 0), ("1h0.5s", 3600.5), ("10us", 1e-5), ("+.5s", 0.5)],
)
def test_durations(text: str, seconds: float) -> None:
    assert times.parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "1", "s", "1x", "-", "1h 2m"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="time: invalid duration"):
        times.parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (90, "1m30s"), (3600, "1h0m0s"), (0.3, "300ms"), (1.5, "1.5s"), (-1, "-1s"), (1.5e-6, "1.5µs")],
)
def test_formatted_durations(seconds: float, text: str) -> None:
    assert times.format_duration(seconds) == text


def test_metadata_of_structs_and_dicts() -> None:
    owner = apps_v1.ReplicaSet(metadata=meta_v1.ObjectMeta(name="rs", namespace="d", uid="u"))
    pod = core_v1.Pod(
        metadata=meta_v1.ObjectMeta(
            name="a", namespace="d", labels={"x": "y"}, ownerReferences=[meta.owner_reference(owner)]
        )
    )
    for obj in (pod, codec.to_builtins(pod)):
        assert meta.key_of(obj) == "d/a"
        assert meta.labels_of(obj) == {"x": "y"}
        assert meta.controller_of(obj) == meta_v1.OwnerReference(
            apiVersion="apps/v1", kind="ReplicaSet", name="rs", uid="u", controller=True, blockOwnerDeletion=True
        )
        assert meta.is_controlled_by(obj, owner)
        assert not meta.is_controlled_by(obj, pod)
        assert not meta.is_deleting(obj)
    assert meta.key_of(core_v1.Node(metadata=meta_v1.ObjectMeta(name="n"))) == "n"
    assert meta.split_key("d/a") == ("d", "a")
    assert meta.split_key("n") == ("", "n")
    assert meta.controller_of({"metadata": {}}) is None
    assert meta.owner_reference(owner, controller=False).controller is None


def test_conditions_move_their_time_only_with_their_status() -> None:
    ready = core_v1.PodCondition(type="Ready", status="False")
    first = conditions.set_condition(None, ready, NOW)
    assert [c.lastTransitionTime for c in first] == ["2026-01-31T08:00:00Z"]
    later = NOW + timedelta(hours=1)
    same = conditions.set_condition(first, core_v1.PodCondition(type="Ready", status="False", reason="x"), later)
    assert [(c.reason, c.lastTransitionTime) for c in same] == [("x", "2026-01-31T08:00:00Z")]
    changed = conditions.set_condition(same, core_v1.PodCondition(type="Ready", status="True"), later)
    assert [c.lastTransitionTime for c in changed] == ["2026-01-31T09:00:00Z"]
    assert conditions.is_true(changed, "Ready")
    assert not conditions.is_true(first, "Ready")
    assert conditions.find_condition(changed, "Other") is None
    assert conditions.remove_condition(changed, "Ready") == []
    assert first[0].status == "False"


@pytest.mark.parametrize(
    ("value", "total", "round_up", "scaled"),
    [(3, 10, True, 3), ("25%", 10, True, 3), ("25%", 10, False, 2), ("0%", 10, True, 0), ("100%", 7, False, 7)],
)
def test_percentages(value: int | str, total: int, round_up: bool, scaled: int) -> None:
    assert intstr.scaled(value, total, round_up) == scaled


def test_what_is_no_percentage() -> None:
    with pytest.raises(ValueError, match="not a percentage"):
        intstr.scaled("3", 10, True)


def test_hashes() -> None:
    # Test vectors of the authors of FNV.
    assert hashing.fnv1a_32(b"") == 0x811C9DC5
    assert hashing.fnv1a_32(b"foobar") == 0xBF9CF968
    template = core_v1.PodTemplateSpec(metadata=meta_v1.ObjectMeta(labels={"b": "1", "a": "2"}))
    first = hashing.template_hash(template)
    assert len(first) == 10
    assert set(first) <= set(hashing.ALPHABET)
    assert first == hashing.template_hash(codec.to_builtins(codec.copy(template)))
    assert len({hashing.template_hash(template, count) for count in (None, 0, 1, 2)}) == 4


@pytest.mark.parametrize(
    ("text", "quoted"),
    [("a", '"a"'), ('"\\', '"\\"\\\\"'), ("\n\x00é\u2028", '"\\n\\x00é\\u2028"')],
)
def test_quoting(text: str, quoted: str) -> None:
    assert goformat.quote(text) == quoted


def test_plain_printing() -> None:
    assert goformat.plain({"b": [1, "x", None], "a": True}) == "map[a:true b:[1 x <nil>]]"
