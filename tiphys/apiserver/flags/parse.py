"""From ``--name=value`` to configurations."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from tiphys.apiserver.config import ApiServerConfig, SecurityConfig, StorageConfig
from tiphys.apiserver.flags import access, admission, aggregation, features, flow, serving, storage
from tiphys.apiserver.flags.flag import Flag, FlagError

SUBJECTS: Final = (access, admission, aggregation, features, flow, serving, storage)
FLAGS: Final[Mapping[str, Flag]] = {flag.name: flag for module in SUBJECTS for flag in module.FLAGS}


@dataclass(frozen=True, slots=True)
class Settings:
    """All that an API server is told."""

    server: ApiServerConfig = field(default_factory=ApiServerConfig)
    security: SecurityConfig = field(default_factory=SecurityConfig)
    storage: StorageConfig = field(default_factory=StorageConfig)


def parse(arguments: Sequence[str], settings: Settings) -> Settings:
    """``settings`` with what ``arguments`` say: ``--name=value``, ``--name value``, or a bare ``--switch``; the
    dashes may be missing. Raises FlagError."""
    given = _values(arguments)
    changes: dict[str, dict[str, Any]] = {"server": {}, "security": {}, "storage": {}, "audit": {}}
    for flag, values in given.values():
        try:
            changes[flag.part][flag.field] = flag.read(values)
        except ValueError as problem:
            raise FlagError(f"--{flag.name}={values[-1]}: {problem}") from problem
    return Settings(
        replace(settings.server, **changes["server"], audit=replace(settings.server.audit, **changes["audit"])),
        replace(settings.security, **changes["security"]),
        replace(settings.storage, **changes["storage"]),
    )


def _values(arguments: Sequence[str]) -> dict[str, tuple[Flag, list[str]]]:
    found: dict[str, tuple[Flag, list[str]]] = {}
    rest = iter(arguments)
    for argument in rest:
        name, given, value = argument.lstrip("-").partition("=")
        flag = FLAGS.get(name)
        if flag is None:
            close = difflib.get_close_matches(name, FLAGS, 1)
            hint = f'; did you mean "--{close[0]}"?' if close else '; see "tiphys apiserver --help"'
            raise FlagError(f"unknown flag: --{name}{hint}")
        if not given:
            value = "true" if flag.switch else next(rest, "")
            if not value:
                raise FlagError(f"flag needs an argument: --{name}")
        found.setdefault(flag.name, (flag, []))[1].append(value)
    return found
