"""What may be chosen about the scheduler; defaults are kube-scheduler's."""

from dataclasses import dataclass

from tiphys.scheduler.extenders import ExtenderConfig
from tiphys.scheduler.profiles import Profile


@dataclass(frozen=True, slots=True)
class Config:
    """Times are in seconds. ``configuration.py`` makes one from a KubeSchedulerConfiguration."""

    profiles: tuple[Profile, ...] = (Profile(),)
    backoff_seconds_min: float = 1.0
    backoff_seconds_max: float = 10.0
    #: A Pod that no event has brought back is looked at again after this.
    unschedulable_seconds_max: float = 300.0
    #: Bindings under way at once.
    bindings_max: int = 64
    extenders: tuple[ExtenderConfig, ...] = ()
