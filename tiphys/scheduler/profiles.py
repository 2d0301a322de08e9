"""Profiles: under which names the scheduler takes Pods, and which plugins decide for each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from tiphys.scheduler.hooks import Hook
from tiphys.scheduler.plugins.dynamic_resources import Devices
from tiphys.scheduler.plugins.interface import Plugin
from tiphys.scheduler.plugins.pod_topology_spread import Groups
from tiphys.scheduler.plugins.registry import default_plugins
from tiphys.scheduler.plugins.volume_binding import Volumes
from tiphys.scheduler.waiting import Waiting


class MakePlugins(Protocol):
    """Makes plugins over what is known of Services and the like, of volumes, and of devices."""

    def __call__(
        self, groups: Groups | None, volumes: Volumes | None, devices: Devices | None = None
    ) -> Sequence[Plugin]: ...


MakeHooks = Callable[[Waiting], Sequence[Hook]]


def no_hooks(_: Waiting) -> Sequence[Hook]:
    return ()


@dataclass(frozen=True, slots=True)
class Profile:
    """``plugins`` makes them anew, in order, for whoever schedules with the profile."""

    name: str = "default-scheduler"
    plugins: MakePlugins = default_plugins
    preempts: bool = True
    #: Makes what has a say between decision and binding, beyond what is built in.
    hooks: MakeHooks = no_hooks
