"""PersistentVolume."""

from tiphys.api import core_v1
from tiphys.resources import columns, subresources
from tiphys.resources.rules import Resource
from tiphys.resources.strategies import SpecStrategy, StatusStrategy


class PersistentVolumeStrategy(SpecStrategy[core_v1.PersistentVolume]):
    """What the main endpoint allows."""


class PersistentVolumeStatusStrategy(StatusStrategy[core_v1.PersistentVolume]):
    """What /status allows."""


ROW = Resource(
    group="",
    version="v1",
    kind="PersistentVolume",
    plural="persistentvolumes",
    cls=core_v1.PersistentVolume,
    strategy=PersistentVolumeStrategy(),
    namespaced=False,
    short_names=("pv",),
    subresources=(subresources.status(PersistentVolumeStatusStrategy()),),
    columns=columns.DEFAULT_COLUMNS,
)
