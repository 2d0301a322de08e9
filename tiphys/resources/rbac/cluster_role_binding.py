"""ClusterRoleBinding."""

from tiphys.api import rbac_v1
from tiphys.resources import columns
from tiphys.resources.rules import Resource, Strategy


class ClusterRoleBindingStrategy(Strategy[rbac_v1.ClusterRoleBinding]):
    """What the main endpoint allows."""


ROW = Resource(
    group="rbac.authorization.k8s.io",
    version="v1",
    kind="ClusterRoleBinding",
    plural="clusterrolebindings",
    cls=rbac_v1.ClusterRoleBinding,
    strategy=ClusterRoleBindingStrategy(),
    namespaced=False,
    columns=columns.DEFAULT_COLUMNS,
)
