"""PersistentVolumeClaim."""

from tiphys.api import core_v1
from tiphys.resources import columns, subresources
from tiphys.resources.rules import Resource
from tiphys.resources.strategies import SpecStrategy, StatusStrategy


class PersistentVolumeClaimStrategy(SpecStrategy[core_v1.PersistentVolumeClaim]):
    """What the main endpoint allows."""


class PersistentVolumeClaimStatusStrategy(StatusStrategy[core_v1.PersistentVolumeClaim]):
    """What /status allows."""


ROW = Resource(
    group="",
    version="v1",
    kind="PersistentVolumeClaim",
    plural="persistentvolumeclaims",
    cls=core_v1.PersistentVolumeClaim,
    strategy=PersistentVolumeClaimStrategy(),
    short_names=("pvc",),
    subresources=(subresources.status(PersistentVolumeClaimStatusStrategy()),),
    columns=columns.DEFAULT_COLUMNS,
)
