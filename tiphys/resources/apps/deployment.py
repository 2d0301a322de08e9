"""Deployment."""

from tiphys.api import apps_v1
from tiphys.resources import columns, subresources
from tiphys.resources.rules import Resource
from tiphys.resources.strategies import SpecStrategy, StatusStrategy


class DeploymentStrategy(SpecStrategy[apps_v1.Deployment]):
    """What the main endpoint allows."""


class DeploymentStatusStrategy(StatusStrategy[apps_v1.Deployment]):
    """What /status allows."""


ROW = Resource(
    group="apps",
    version="v1",
    kind="Deployment",
    plural="deployments",
    cls=apps_v1.Deployment,
    strategy=DeploymentStrategy(),
    short_names=("deploy",),
    categories=("all",),
    subresources=(
        subresources.SCALE,
        subresources.status(DeploymentStatusStrategy()),
    ),
    columns=columns.DEFAULT_COLUMNS,
)
