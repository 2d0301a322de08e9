"""The fixture ``cluster``."""

from tests.testing.conftest import cluster

__all__ = ["cluster"]
