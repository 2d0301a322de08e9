"""Role."""

from tiphys.api import rbac_v1
from tiphys.resources import columns
from tiphys.resources.rules import Resource, Strategy


class RoleStrategy(Strategy[rbac_v1.Role]):
    """What the main endpoint allows."""


ROW = Resource(
    group="rbac.authorization.k8s.io",
    version="v1",
    kind="Role",
    plural="roles",
    cls=rbac_v1.Role,
    strategy=RoleStrategy(),
    columns=columns.DEFAULT_COLUMNS,
)
