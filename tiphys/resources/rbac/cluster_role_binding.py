"""ClusterRoleBinding."""

from tiphys.api import rbac_v1
from tiphys.machinery.fields import FieldError
from tiphys.resources import checks
from tiphys.resources.checks import Errors
from tiphys.resources.rbac.bindings import COLUMNS, default_binding, validate_binding, validate_reference_kept
from tiphys.resources.rbac.rules import GROUP
from tiphys.resources.rules import Resource, Strategy


def validate(binding: rbac_v1.ClusterRoleBinding) -> Errors:
    errs: Errors = []
    validate_binding(errs, binding.roleRef, binding.subjects or [], ("ClusterRole",), namespaced=False)
    return errs


class ClusterRoleBindingStrategy(Strategy[rbac_v1.ClusterRoleBinding]):
    """The main endpoint; that nobody grants more than he has is the API server's to check."""

    create_on_update = True

    def default(self, obj: rbac_v1.ClusterRoleBinding) -> None:
        default_binding(obj.roleRef, obj.subjects or [])

    def validate_create(self, obj: rbac_v1.ClusterRoleBinding) -> list[FieldError]:
        return validate(obj)

    def validate_update(self, obj: rbac_v1.ClusterRoleBinding, old: rbac_v1.ClusterRoleBinding) -> list[FieldError]:
        errs = validate(obj)
        validate_reference_kept(errs, obj.roleRef, old.roleRef)
        return errs


ROW = Resource(
    group=GROUP,
    version="v1",
    kind="ClusterRoleBinding",
    plural="clusterrolebindings",
    cls=rbac_v1.ClusterRoleBinding,
    strategy=ClusterRoleBindingStrategy(),
    namespaced=False,
    columns=COLUMNS,
    name_problems=checks.path_segment,
)
