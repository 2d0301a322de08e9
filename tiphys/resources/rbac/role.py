"""Role."""

from tiphys.api import rbac_v1
from tiphys.machinery.fields import FieldError
from tiphys.resources import checks
from tiphys.resources.checks import Errors
from tiphys.resources.columns import CREATED_AT, NAME
from tiphys.resources.rbac.rules import GROUP, validate_rules
from tiphys.resources.rules import Resource, Strategy


def validate(role: rbac_v1.Role) -> Errors:
    errs: Errors = []
    validate_rules(errs, role.rules or [], namespaced=True)
    return errs


class RoleStrategy(Strategy[rbac_v1.Role]):
    """The main endpoint; that nobody grants more than he has is the API server's to check."""

    create_on_update = True

    def validate_create(self, obj: rbac_v1.Role) -> list[FieldError]:
        return validate(obj)

    def validate_update(self, obj: rbac_v1.Role, old: rbac_v1.Role) -> list[FieldError]:
        return validate(obj)


ROW = Resource(
    group=GROUP,
    version="v1",
    kind="Role",
    plural="roles",
    cls=rbac_v1.Role,
    strategy=RoleStrategy(),
    namespaced=True,
    columns=(NAME, CREATED_AT),
    name_problems=checks.path_segment,
)
