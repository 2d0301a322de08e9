"""CertificateSigningRequests: who asks is written by the server; approving and signing need the signer's permission.

Kubernetes' plugins CertificateApproval, CertificateSigning and CertificateSubjectRestriction.
Source: Kubernetes docs, "Certificates and Certificate Signing Requests", "Authorization".
"""

from typing import Any, ClassVar, Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from tiphys.apiserver.admission.plugin import Plugin, forbidden
from tiphys.apiserver.seams import Attributes, Authorizer

GROUP: Final = "certificates.k8s.io"
PLURAL: Final = "certificatesigningrequests"
MASTERS: Final = "system:masters"


class CertificateRequester(Plugin):
    """Fills in who asks, and keeps the strongest group from being asked for."""

    name: ClassVar = "CertificateSubjectRestriction"
    operations: ClassVar = ("CREATE",)
    resources: ClassVar = (f"{PLURAL}.{GROUP}",)

    def admit(self, attributes: Attributes, obj: Any, old: Any) -> None:
        user = attributes.user
        obj.spec.username = user.name
        obj.spec.uid = user.uid or None
        obj.spec.groups = [*user.groups] or None
        obj.spec.extra = {name: [*values] for name, values in user.extra.items()} or None

    def validate(self, attributes: Attributes, obj: Any, old: Any) -> None:
        if obj.spec.signerName != "kubernetes.io/kube-apiserver-client":
            return
        try:
            subject = x509.load_pem_x509_csr(obj.spec.request or b"").subject
        except ValueError as error:
            raise forbidden(attributes, obj, f"failed to parse CSR: {error}") from error
        for part in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME):
            if part.value == MASTERS:
                text = f"use of kubernetes.io/kube-apiserver-client signer with {MASTERS} group is not allowed"
                raise forbidden(attributes, obj, text)


class CertificateSigners:
    """Who approves or signs must be allowed to do so for the very signer."""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    def handles(self, attributes: Attributes) -> bool:
        return (attributes.group, attributes.resource, attributes.operation) == (GROUP, PLURAL, "UPDATE") and (
            attributes.subresource in ("approval", "status")
        )

    async def check(self, attributes: Attributes, obj: Any, old: Any) -> None:
        """Raises Forbidden."""
        verb = "approve"
        if attributes.subresource == "status":
            same = old.status.certificate == obj.status.certificate
            if same and (old.status.conditions or []) == (obj.status.conditions or []):
                return
            verb = "sign"
        signer = old.spec.signerName
        # One rule may be for all signers of a domain.
        names = (signer, f"{signer.partition('/')[0]}/*")
        for name in names:
            if await self._may(attributes, verb, name):
                return
        raise forbidden(attributes, obj, f'user not permitted to {verb} requests with signerName "{signer}"')

    async def _may(self, attributes: Attributes, verb: str, name: str) -> bool:
        asked = Attributes(
            verb,
            "",
            attributes.user,
            is_resource_request=True,
            group=GROUP,
            version="*",
            resource="signers",
            name=name,
        )
        return (await self._authorizer.authorize(attributes.user, asked)).allowed
