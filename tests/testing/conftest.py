"""The plugin, also where the package was installed before it had one."""

import pytest

from tiphys.testing import plugin
from tiphys.testing.plugin import cluster

__all__ = ["cluster"]


def pytest_configure(config: pytest.Config) -> None:
    if not config.pluginmanager.is_registered(plugin):
        plugin.pytest_configure(config)
