"""PodDisruptionBudget."""

from tiphys.api import policy_v1
from tiphys.resources import columns, subresources
from tiphys.resources.rules import Resource
from tiphys.resources.strategies import SpecStrategy, StatusStrategy


class PodDisruptionBudgetStrategy(SpecStrategy[policy_v1.PodDisruptionBudget]):
    """What the main endpoint allows."""


class PodDisruptionBudgetStatusStrategy(StatusStrategy[policy_v1.PodDisruptionBudget]):
    """What /status allows."""


ROW = Resource(
    group="policy",
    version="v1",
    kind="PodDisruptionBudget",
    plural="poddisruptionbudgets",
    cls=policy_v1.PodDisruptionBudget,
    strategy=PodDisruptionBudgetStrategy(),
    short_names=("pdb",),
    subresources=(subresources.status(PodDisruptionBudgetStatusStrategy()),),
    columns=columns.DEFAULT_COLUMNS,
)
