"""CertificateSigningRequests: who asks is written by the server; approving and signing need the signer's permission.

Kubernetes' plugins CertificateApproval, CertificateSigning and CertificateSubjectRestriction; and
ClusterTrustBundleAttest, which asks the same question about bundles of a signer.
Source: Kubernetes docs, "Certificates and Certificate Signing Requests", "Authorization".
"""

from collections.abc import Awaitable
from typing import Any, ClassVar, Final, Self

from cryptography import x509
from cryptography.x509.oid import NameOID

from tiphys.apiserver.admission.plugin import Plugin, Tools, forbidden
from tiphys.apiserver.seams import Attributes, Authorizer
from tiphys.machinery.goformat import quote

GROUP: Final = "certificates.k8s.io"
REQUESTS: Final = f"certificatesigningrequests.{GROUP}"
MASTERS: Final = "system:masters"


class CertificateRequester(Plugin):
    """Fills in who asks. Not a plugin in Kubernetes, where the strategy does it, so no flag takes it away."""

    operations: ClassVar = ("CREATE",)
    resources: ClassVar = (REQUESTS,)

    def admit(self, attributes: Attributes, obj: Any, old: Any) -> None:
        user = attributes.user
        obj.spec.username = user.name
        obj.spec.uid = user.uid or None
        obj.spec.groups = [*user.groups] or None
        obj.spec.extra = {name: [*values] for name, values in user.extra.items()} or None


class CertificateSubjectRestriction(Plugin):
    """Keeps the strongest group from being asked for."""

    name: ClassVar = "CertificateSubjectRestriction"
    operations: ClassVar = ("CREATE",)
    resources: ClassVar = (REQUESTS,)

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


class _Signers(Plugin):
    """Asks whether somebody may do something in the name of a signer."""

    @classmethod
    def made(cls, tools: Tools) -> Self:
        return cls(tools.authorizer)

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    async def _may(self, attributes: Attributes, verb: str, signer: str) -> bool:
        # One rule may be for all signers of a domain.
        for name in (signer, f"{signer.partition('/')[0]}/*"):
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
            if (await self._authorizer.authorize(attributes.user, asked)).allowed:
                return True
        return False

    async def _check(self, attributes: Attributes, obj: Any, verb: str, signer: str) -> None:
        if not await self._may(attributes, verb, signer):
            why = f"user not permitted to {verb} requests with signerName {quote(signer)}"
            raise forbidden(attributes, obj, why)


class CertificateApproval(_Signers):
    """Who approves must be allowed to do so for the very signer."""

    name: ClassVar = "CertificateApproval"
    operations: ClassVar = ("UPDATE",)
    resources: ClassVar = (f"{REQUESTS}/approval",)

    def validate(self, attributes: Attributes, obj: Any, old: Any) -> Awaitable[None]:
        return self._check(attributes, obj, "approve", obj.spec.signerName)


class CertificateSigning(_Signers):
    """Who writes a certificate (or why there will be none) must be allowed to sign for the very signer."""

    name: ClassVar = "CertificateSigning"
    operations: ClassVar = ("UPDATE",)
    resources: ClassVar = (f"{REQUESTS}/status",)

    def validate(self, attributes: Attributes, obj: Any, old: Any) -> Awaitable[None] | None:
        same = old.status.certificate == obj.status.certificate
        if same and (old.status.conditions or []) == (obj.status.conditions or []):
            return None
        return self._check(attributes, obj, "sign", old.spec.signerName)


class ClusterTrustBundleAttest(_Signers):
    """Who writes a bundle of a signer must be allowed to attest for it."""

    name: ClassVar = "ClusterTrustBundleAttest"
    resources: ClassVar = (f"clustertrustbundles.{GROUP}",)

    def validate(self, attributes: Attributes, obj: Any, old: Any) -> Awaitable[None] | None:
        signer = obj.spec.signerName
        if not signer or (old is not None and old.spec == obj.spec):
            return None
        return self._attest(attributes, obj, signer)

    async def _attest(self, attributes: Attributes, obj: Any, signer: str) -> None:
        if not await self._may(attributes, "attest", signer):
            why = f"user not permitted to attest for signerName {quote(signer)}"
            raise forbidden(attributes, obj, why)
