"""RoleBinding."""

from tiphys.api import rbac_v1
from tiphys.resources import columns
from tiphys.resources.rules import Resource, Strategy


class RoleBindingStrategy(Strategy[rbac_v1.RoleBinding]):
    """What the main endpoint allows."""


ROW = Resource(
    group="rbac.authorization.k8s.io",
    version="v1",
    kind="RoleBinding",
    plural="rolebindings",
    cls=rbac_v1.RoleBinding,
    strategy=RoleBindingStrategy(),
    columns=columns.DEFAULT_COLUMNS,
)
