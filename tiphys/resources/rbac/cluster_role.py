"""ClusterRole."""

from tiphys.api import rbac_v1
from tiphys.machinery.fields import FieldError
from tiphys.resources import checks
from tiphys.resources.checks import Errors
from tiphys.resources.columns import CREATED_AT, NAME
from tiphys.resources.rbac.rules import GROUP, validate_rules
from tiphys.resources.rules import Resource, Strategy


def validate(role: rbac_v1.ClusterRole) -> Errors:
    errs: Errors = []
    validate_rules(errs, role.rules or [], namespaced=False)
    for index, selector in enumerate((role.aggregationRule.clusterRoleSelectors or ()) if role.aggregationRule else ()):
        checks.label_selector(errs, f"aggregationRule.clusterRoleSelectors[{index}]", selector)
    return errs


class ClusterRoleStrategy(Strategy[rbac_v1.ClusterRole]):
    """The main endpoint; that nobody grants more than he has is the API server's to check."""

    create_on_update = True

    def validate_create(self, obj: rbac_v1.ClusterRole) -> list[FieldError]:
        return validate(obj)

    def validate_update(self, obj: rbac_v1.ClusterRole, old: rbac_v1.ClusterRole) -> list[FieldError]:
        return validate(obj)


ROW = Resource(
    group=GROUP,
    version="v1",
    kind="ClusterRole",
    plural="clusterroles",
    cls=rbac_v1.ClusterRole,
    strategy=ClusterRoleStrategy(),
    namespaced=False,
    columns=(NAME, CREATED_AT),
    name_problems=checks.path_segment,
)
