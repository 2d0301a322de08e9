"""Profiles: under which names the scheduler takes Pods, and which plugins decide for each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tiphys.scheduler.hooks import Hook
from tiphys.scheduler.plugins.interface import Plugin
from tiphys.scheduler.plugins.pod_topology_spread import Groups
from tiphys.scheduler.plugins.registry import default_plugins
from tiphys.scheduler.plugins.volume_binding import Volumes
from tiphys.scheduler.waiting import Waiting

MakePlugins = Callable[[Groups | None, Volumes | None], Sequence[Plugin]]
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
