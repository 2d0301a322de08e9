"""Flags of admission: which plugins run, and what they are told."""

from collections.abc import Sequence
from typing import Final

from tiphys.apiserver.admission import table
from tiphys.apiserver.flags.flag import Flag, listed, text


def _enabled(values: Sequence[str]) -> tuple[str, ...]:
    names = listed(values)
    table.check(names, ())
    return names


def _disabled(values: Sequence[str]) -> tuple[str, ...]:
    names = listed(values)
    table.check((), names)
    return names


FLAGS: Final = (
    Flag("enable-admission-plugins", "security", "enable_admission_plugins", _enabled, "Plugins beside those on."),
    Flag("disable-admission-plugins", "security", "disable_admission_plugins", _disabled, "Plugins not to run."),
    Flag("admission-control-config-file", "security", "admission_config_file", text, "What plugins are told, YAML."),
)
