"""ClusterTrustBundle: certificates of authorities, for Pods to mount.

Beta: served with ``--runtime-config``. Source: KEP-3257 Cluster Trust Bundles.
"""

from typing import Any

from tiphys.api import certificates_v1alpha1, certificates_v1beta1
from tiphys.machinery import fields
from tiphys.resources import checks
from tiphys.resources.certificates.pem import problems
from tiphys.resources.checks import Errors
from tiphys.resources.columns import NAME
from tiphys.resources.rules import Column, Resource
from tiphys.resources.strategies import FunctionStrategy
from tiphys.resources.versions import older

BUNDLE_BYTES_MAX = 1024 * 1024


def validate(bundle: Any) -> Errors:
    errs: Errors = []
    name, signer = bundle.metadata.name, bundle.spec.signerName or ""
    prefix = signer.replace("/", ":") + ":" if signer else ""
    if signer:
        if "/" not in signer:
            errs.append(
                fields.invalid(
                    "spec.signerName",
                    signer,
                    "must be a fully qualified domain and path of the form 'example.com/signer-name'",
                )
            )
        if not name.startswith(prefix):
            detail = f"ClusterTrustBundle for signerName {signer} must be named with prefix {prefix}"
            errs.append(fields.invalid("metadata.name", name, detail))
        else:
            checks.form(errs, "metadata.name", name[len(prefix) :], checks.dns1123_subdomain)
    elif ":" in name:
        detail = 'ClusterTrustBundle without signer name must not have ":" in its name'
        errs.append(fields.invalid("metadata.name", name, detail))
    else:
        checks.form(errs, "metadata.name", name, checks.dns1123_subdomain)
    data = bundle.spec.trustBundle
    if len(data.encode()) > BUNDLE_BYTES_MAX:
        errs.append(fields.too_long("spec.trustBundle", "", BUNDLE_BYTES_MAX))
        return errs
    errs += [fields.invalid("spec.trustBundle", "<value omitted>", detail) for detail in problems(data)]
    return errs


def validate_change(bundle: Any, old: Any) -> Errors:
    errs: Errors = []
    checks.immutable(errs, "spec.signerName", bundle.spec.signerName, old.spec.signerName)
    return errs


ROW = Resource(
    group="certificates.k8s.io",
    version="v1beta1",
    kind="ClusterTrustBundle",
    plural="clustertrustbundles",
    cls=certificates_v1beta1.ClusterTrustBundle,
    strategy=FunctionStrategy(None, validate, validate_change, counts_generation=False, unconditional_update=False),
    namespaced=False,
    columns=(NAME, Column("SignerName", lambda each, now: each.spec.signerName or "<none>", description="Whose.")),
    fields={"spec.signerName": lambda each: each.spec.signerName or ""},
    name_problems=checks.path_segment,
    optional=True,
)
ROWS = (ROW, older(ROW, "v1alpha1", certificates_v1alpha1.ClusterTrustBundle))
