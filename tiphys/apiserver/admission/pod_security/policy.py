"""Which level in which version holds, as labels say it."""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from tiphys.machinery import fields
from tiphys.machinery.fields import FieldError

PRIVILEGED, BASELINE, RESTRICTED = "privileged", "baseline", "restricted"
LEVELS: Final = (PRIVILEGED, BASELINE, RESTRICTED)
PREFIX: Final = "pod-security.kubernetes.io/"
#: Newer than every version.
LATEST: Final = 10**9
VERSION: Final = re.compile(r"v1\.(0|[1-9][0-9]*)")


class LevelVersion(NamedTuple):
    """A level as it was in 1.``version``; ``LATEST`` for as it is."""

    level: str = PRIVILEGED
    version: int = LATEST

    def __str__(self) -> str:
        return f"{self.level}:{'latest' if self.version == LATEST else f'v1.{self.version}'}"

    def is_stricter_than(self, other: "LevelVersion") -> bool:
        return LEVELS.index(self.level) > LEVELS.index(other.level)


class Policy(NamedTuple):
    """What is refused, what is noted in the audit log, and what the client is warned of."""

    enforce: LevelVersion = LevelVersion()
    audit: LevelVersion = LevelVersion()
    warn: LevelVersion = LevelVersion()

    @property
    def allows_all(self) -> bool:
        return self.enforce.level == self.audit.level == self.warn.level == PRIVILEGED


#: All labels that are read.
LABELS: Final = frozenset(PREFIX + mode + suffix for mode in Policy._fields for suffix in ("", "-version"))


def version_of(text: str) -> int | None:
    """None if it is neither ``latest`` nor ``v1.x``."""
    if text == "latest":
        return LATEST
    found = VERSION.fullmatch(text)
    return int(found.group(1)) if found else None


def policy_of(labels: Mapping[str, str], defaults: Policy) -> tuple[Policy, list[FieldError]]:
    """The policy of a Namespace; a label that cannot be read makes it strict where something is enforced."""
    if LABELS.isdisjoint(labels):
        return defaults, []
    found = dict(zip(Policy._fields, defaults, strict=True))
    problems: list[FieldError] = []
    for mode in Policy._fields:
        level, version = labels.get(PREFIX + mode), labels.get(f"{PREFIX}{mode}-version")
        if level is not None:
            if level not in LEVELS:
                problems.append(_invalid(mode, level, f"must be one of {', '.join(LEVELS)}"))
                level = RESTRICTED if mode == "enforce" else PRIVILEGED
            found[mode] = found[mode]._replace(level=level)
        if version is not None:
            number = version_of(version)
            if number is None:
                problems.append(_invalid(f"{mode}-version", version, 'must be "latest" or "v1.x"'))
            found[mode] = found[mode]._replace(version=LATEST if number is None else number)
    return Policy(**found), problems


def _invalid(name: str, value: str, why: str) -> FieldError:
    return fields.invalid(f"metadata.labels[{PREFIX}{name}]", value, why)
