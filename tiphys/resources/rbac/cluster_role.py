"""ClusterRole."""

from tiphys.api import rbac_v1
from tiphys.resources import columns
from tiphys.resources.rules import Resource, Strategy


class ClusterRoleStrategy(Strategy[rbac_v1.ClusterRole]):
    """What the main endpoint allows."""


ROW = Resource(
    group="rbac.authorization.k8s.io",
    version="v1",
    kind="ClusterRole",
    plural="clusterroles",
    cls=rbac_v1.ClusterRole,
    strategy=ClusterRoleStrategy(),
    namespaced=False,
    columns=columns.DEFAULT_COLUMNS,
)
