"""The plugin's fixture, also where the package was installed before it had one."""

from tiphys.testing.plugin import cluster

__all__ = ["cluster"]
