"""Profiles: under which names the scheduler takes Pods, and which plugins decide for each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tiphys.scheduler.plugins.interface import Plugin
from tiphys.scheduler.plugins.pod_topology_spread import Groups
from tiphys.scheduler.plugins.registry import default_plugins
from tiphys.scheduler.plugins.volume_binding import Volumes

MakePlugins = Callable[[Groups | None, Volumes | None], Sequence[Plugin]]


@dataclass(frozen=True, slots=True)
class Profile:
    """``plugins`` makes them anew, in order, for whoever schedules with the profile."""

    name: str = "default-scheduler"
    plugins: MakePlugins = default_plugins
    preempts: bool = True
