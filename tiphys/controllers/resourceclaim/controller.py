"""Wires the controller of claims of devices. Keys are ``pod/…`` and ``claim/…``."""

from contextlib import suppress

from tiphys.api import core_v1, resource_v1
from tiphys.client import Done, Result
from tiphys.controllers.base import Context, Controller
from tiphys.controllers.resourceclaim import desired
from tiphys.machinery import codec, errors, meta


class ResourceClaimController(Controller):
    name = "resourceclaim-controller"
    component = "resource_claim"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.pods = self.informers.of(core_v1.Pod)
        self.claims = self.informers.of(resource_v1.ResourceClaim)
        self.templates = self.informers.of(resource_v1.ResourceClaimTemplate)
        self._claim_calls = self.client.of(resource_v1.ResourceClaim)
        self._pod_calls = self.client.of(core_v1.Pod)
        #: Claims that were made and that the cache does not show yet, by the Pod's uid and its entry's name.
        self._fresh: dict[tuple[str, str], resource_v1.ResourceClaim] = {}
        self.claims.add_index("owner", lambda claim: [o.uid for o in claim.metadata.ownerReferences])
        self.pods.add_index("resource-claim-template", _template_keys)
        self.pods.add_handler(self._pod_seen, lambda _, new: self._pod_seen(new), self._pod_gone)
        self.claims.add_handler(self._claim_seen, lambda _, new: self._claim_seen(new), self._claim_gone)
        self.templates.add_handler(added=self._template_seen)

    def _pod_seen(self, pod: core_v1.Pod) -> None:
        if not pod.spec.resourceClaims:
            return
        self.queue.add(f"pod/{meta.key_of(pod)}")
        if desired.is_done(pod):
            self._pod_gone(pod)

    def _pod_gone(self, pod: core_v1.Pod) -> None:
        if not pod.spec.resourceClaims:
            return
        names = [claim.resourceClaimName for claim in pod.spec.resourceClaims]
        names += [status.resourceClaimName for status in pod.status.resourceClaimStatuses or ()]
        for name in names:
            if name:
                self.queue.add(f"claim/{pod.metadata.namespace}/{name}")

    def _claim_seen(self, claim: resource_v1.ResourceClaim) -> None:
        if (owner := meta.controller_of(claim)) is not None:
            self._fresh.pop((owner.uid, claim.metadata.annotations.get(desired.POD_CLAIM_NAME, "")), None)
        self.queue.add(f"claim/{meta.key_of(claim)}")

    def _claim_gone(self, claim: resource_v1.ResourceClaim) -> None:
        owner = meta.controller_of(claim)
        if owner is not None and owner.kind == "Pod":
            self.queue.add(f"pod/{claim.metadata.namespace}/{owner.name}")

    def _template_seen(self, template: resource_v1.ResourceClaimTemplate) -> None:
        for key in self.pods.index_keys("resource-claim-template", meta.key_of(template)):
            self.queue.add(f"pod/{key}")

    async def reconcile(self, key: str) -> Result:
        kind, _, name = key.partition("/")
        if kind == "pod":
            if (pod := self.pods.get(name)) is not None:
                await self._make_claims(pod)
        elif (claim := self.claims.get(name)) is not None:
            with suppress(errors.NotFound):
                await self._clean_up(claim)
        return Done()

    async def _make_claims(self, pod: core_v1.Pod) -> None:
        told = {status.name: status.resourceClaimName for status in pod.status.resourceClaimStatuses or ()}
        made: dict[str, str] = {}
        for entry in desired.from_templates(pod):
            known = self.claims.get(f"{pod.metadata.namespace}/{told.get(entry.name) or ''}")
            if known is None and (pod.metadata.uid, entry.name) not in self._fresh:
                made[entry.name] = (await self._ensure(pod, entry)).metadata.name
        if made:
            statuses = [{"name": name, "resourceClaimName": made.get(name, told.get(name))} for name in told | made]
            body = codec.encode({"metadata": {"uid": pod.metadata.uid}, "status": {"resourceClaimStatuses": statuses}})
            await self._pod_calls.patch(
                pod.metadata.name, pod.metadata.namespace, body, "strategic", subresource="status"
            )

    async def _ensure(self, pod: core_v1.Pod, entry: core_v1.PodResourceClaim) -> resource_v1.ResourceClaim:
        found = desired.find_made(pod, entry, self.claims.by_index("owner", pod.metadata.uid))
        if found is not None:
            return found
        try:
            key = f"{pod.metadata.namespace}/{entry.resourceClaimTemplateName}"
            template = self.templates.get(key)
            if template is None:
                raise errors.NotFound("resourceclaimtemplates.resource.k8s.io", entry.resourceClaimTemplateName or "")
            created = await self._claim_calls.create(desired.claim_of(pod, entry, template))
        except errors.StatusError as problem:
            text = f"PodResourceClaim {entry.name}: {problem.message}"
            self.recorder.event(pod, "Warning", "FailedResourceClaimCreation", text)
            raise
        if not self.claims.has_seen(created.metadata.resourceVersion):
            self._fresh[pod.metadata.uid, entry.name] = created
        return created

    async def _clean_up(self, claim: resource_v1.ResourceClaim) -> None:
        namespace = claim.metadata.namespace
        wanted = desired.cleanup(claim, lambda name: self.pods.get(f"{namespace}/{name}"))
        if wanted.delete:
            await self._claim_calls.delete(claim.metadata.name, namespace, uid=claim.metadata.uid)
            return
        if wanted.status is not None:
            changed = codec.copy(claim)
            changed.status = wanted.status
            claim = await self._claim_calls.update_status(changed)
        if wanted.unprotect:
            changed = codec.copy(claim)
            changed.metadata.finalizers.remove(desired.FINALIZER)
            await self._claim_calls.update(changed)


def _template_keys(pod: core_v1.Pod) -> tuple[str, ...]:
    namespace = pod.metadata.namespace
    return tuple(f"{namespace}/{entry.resourceClaimTemplateName}" for entry in desired.from_templates(pod))
