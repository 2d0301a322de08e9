"""Secret."""

from tiphys.api import core_v1
from tiphys.resources import columns
from tiphys.resources.rules import Resource, Strategy


class SecretStrategy(Strategy[core_v1.Secret]):
    """What the main endpoint allows."""


ROW = Resource(
    group="",
    version="v1",
    kind="Secret",
    plural="secrets",
    cls=core_v1.Secret,
    strategy=SecretStrategy(),
    columns=columns.DEFAULT_COLUMNS,
)
