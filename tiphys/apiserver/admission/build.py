"""The chain of one API server, put together from its configuration."""

from collections.abc import Sequence
from dataclasses import replace

from tiphys.apiserver.admission import configuration, table
from tiphys.apiserver.admission.chain import Chain
from tiphys.apiserver.admission.plugin import Tools
from tiphys.apiserver.config import SecurityConfig


def build(config: SecurityConfig, tools: Tools) -> Chain:
    """Raises table.PluginError, naming what is wrong with flags or configuration file."""
    names = table.chosen(config.enable_admission_plugins, config.disable_admission_plugins)
    given = configuration.read(config.admission_config_file)
    return Chain(replace(tools, configuration=given), names)


def problem_of(enabled: Sequence[str], disabled: Sequence[str]) -> str:
    """What is wrong with the flags; empty if nothing is."""
    try:
        table.check(enabled, disabled)
    except table.PluginError as problem:
        return str(problem)
    return ""
