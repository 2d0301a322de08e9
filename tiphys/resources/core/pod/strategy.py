"""What each of a Pod's endpoints allows."""

from tiphys.api import core_v1
from tiphys.resources.strategies import SpecStrategy, StatusStrategy


class PodStrategy(SpecStrategy[core_v1.Pod]):
    """What the main endpoint allows."""

    def grace_period_seconds(self, obj: core_v1.Pod, asked: int | None) -> int | None:
        seconds = asked if asked is not None else obj.spec.terminationGracePeriodSeconds
        return 30 if seconds is None else max(seconds, 0)


class PodStatusStrategy(StatusStrategy[core_v1.Pod]):
    """What ``/status`` allows."""


class EphemeralContainersStrategy(SpecStrategy[core_v1.Pod]):
    """What ``/ephemeralcontainers`` allows."""


class ResizeStrategy(SpecStrategy[core_v1.Pod]):
    """What ``/resize`` allows."""
