"""CertificateSigningRequest."""

from tiphys.api import certificates_v1
from tiphys.resources import columns, subresources
from tiphys.resources.rules import Resource, Subresource
from tiphys.resources.strategies import SpecStrategy, StatusStrategy


class CertificateSigningRequestStrategy(SpecStrategy[certificates_v1.CertificateSigningRequest]):
    """What the main endpoint allows."""


class CertificateSigningRequestStatusStrategy(StatusStrategy[certificates_v1.CertificateSigningRequest]):
    """What /status allows."""


class ApprovalStrategy(StatusStrategy[certificates_v1.CertificateSigningRequest]):
    """Thin."""


ROW = Resource(
    group="certificates.k8s.io",
    version="v1",
    kind="CertificateSigningRequest",
    plural="certificatesigningrequests",
    cls=certificates_v1.CertificateSigningRequest,
    strategy=CertificateSigningRequestStrategy(),
    namespaced=False,
    short_names=("csr",),
    subresources=(
        Subresource("approval", subresources.READ_WRITE, strategy=ApprovalStrategy()),
        subresources.status(CertificateSigningRequestStatusStrategy()),
    ),
    columns=columns.DEFAULT_COLUMNS,
)
