"""A Python on a system that is not Linux, as far as can be shown on one: imported by every process of a test."""

import os
import sys


class Missing:
    """Finds that what only Linux has is not there."""

    NAMES = ("tiphys.network", "tiphys.runtime", "tiphys.proxy", "tiphys.dns", "pyroute2", "grpc")

    def find_spec(self, name, path=None, target=None):
        if name in self.NAMES or name.startswith(tuple(f"{known}." for known in self.NAMES)):
            raise ImportError(f"{name} is of Linux alone")


sys.meta_path.insert(0, Missing())
del os.pidfd_open
