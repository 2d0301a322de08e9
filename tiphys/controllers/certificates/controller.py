"""Wires the certificate controllers: one reconcile approves, signs or removes a request."""

import msgspec

from tiphys.api import authorization_v1, certificates_v1
from tiphys.client import RequeueAfter, Result
from tiphys.client.workers import Done
from tiphys.controllers.base import Context, Controller, either
from tiphys.controllers.certificates import desired, requests
from tiphys.controllers.certificates.signing import Authority
from tiphys.machinery import errors

Request = certificates_v1.CertificateSigningRequest

SELF = "Auto approving self kubelet client certificate after SubjectAccessReview."
OTHER = "Auto approving kubelet client certificate after SubjectAccessReview."


class CertificateController(Controller):
    name = "certificates"
    component = "certificate-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.requests = self.informers.of(Request)
        self._calls = self.client.of(Request)
        key = self.config.signing_key
        self._authority = Authority(self.config.root_ca, key) if key else None
        self.requests.add_handler(self.enqueue, either(self.enqueue))

    async def reconcile(self, key: str) -> Result:
        request = self.requests.get(key)
        if request is None:
            return Done()
        left = desired.seconds_left(request, self.clock.now())
        try:
            if left <= 0:
                await self._calls.delete(request.metadata.name, uid=request.metadata.uid)
                return Done()
            if desired.is_undecided(request):
                await self._approve(request)
            elif desired.may_be_signed(request) and request.spec.signerName in requests.SIGNERS:
                await self._sign(request)
        except errors.NotFound:
            return Done()
        return RequeueAfter(left)

    # Approving

    async def _approve(self, request: Request) -> None:
        """Kubelets get client certificates if they, or whoever asks for them, may have them."""
        if request.spec.signerName != requests.KUBELET_CLIENT:
            return
        try:
            wanted = requests.asked(requests.load(request.spec.request or b""))
        except ValueError:
            return
        if requests.kubelet_client_problem(wanted, request.spec.usages or ()):
            return
        ways = [("nodeclient", OTHER)]
        if request.spec.username == wanted.common_name:
            ways.insert(0, ("selfnodeclient", SELF))
        for subresource, message in ways:
            if await self._may(request, subresource):
                approved = desired.condition("Approved", "AutoApproved", message, self.clock.now())
                listed = [*(request.status.conditions or ()), approved]
                await self._calls.update(_with(request, conditions=listed), subresource="approval")
                return

    async def _may(self, request: Request, subresource: str) -> bool:
        spec = request.spec
        review = authorization_v1.SubjectAccessReview(
            spec=authorization_v1.SubjectAccessReviewSpec(
                user=spec.username,
                uid=spec.uid,
                groups=spec.groups,
                extra=spec.extra,
                resourceAttributes=authorization_v1.ResourceAttributes(
                    group="certificates.k8s.io",
                    resource="certificatesigningrequests",
                    verb="create",
                    subresource=subresource,
                ),
            )
        )
        answer = await self.client.of(authorization_v1.SubjectAccessReview).create(review)
        return answer.status.allowed

    # Signing

    async def _sign(self, request: Request) -> None:
        if self._authority is None:
            return
        now = self.clock.now()
        usages = request.spec.usages or []
        try:
            loaded = requests.load(request.spec.request or b"")
            why = requests.problem(request.spec.signerName, requests.asked(loaded), usages)
            certificate = b"" if why else self._authority.sign(loaded, usages, request.spec.expirationSeconds, now)
        except ValueError as error:
            why, certificate = str(error), b""
        if why:
            failed = desired.condition("Failed", "SignerValidationFailure", why, now)
            changed = _with(request, conditions=[*(request.status.conditions or ()), failed])
        else:
            changed = _with(request, certificate=certificate)
        await self._calls.update_status(changed)


def _with(request: Request, **status: object) -> Request:
    return msgspec.structs.replace(request, status=msgspec.structs.replace(request.status, **status))
