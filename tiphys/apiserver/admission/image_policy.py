"""ImagePolicyWebhook: another server decides which images may run.

Source: Kubernetes docs, "Admission Control", ImagePolicyWebhook.
"""

import logging
from collections.abc import Awaitable, Mapping
from typing import Any, ClassVar, Final, Self

from tiphys.apiserver.admission.always_pull_images import containers, images
from tiphys.apiserver.admission.plugin import Plugin, Tools, forbidden
from tiphys.apiserver.remote import Remote, RemoteError, TargetError, target_of
from tiphys.apiserver.seams import Attributes
from tiphys.base.clock import Clock
from tiphys.machinery import codec

log = logging.getLogger(__name__)

API_VERSION: Final = "imagepolicy.k8s.io/v1alpha1"
MARK: Final = ".image-policy.k8s.io/"
FAILED_OPEN: Final = "alpha.image-policy.k8s.io/failed-open"
PREFIX: Final = "imagepolicywebhook.image-policy.k8s.io/"
ATTEMPTS: Final = 5
CACHE_SIZE: Final = 1024


class ImagePolicyWebhook(Plugin):
    """Its configuration is ``imagePolicy``: ``kubeConfigFile``, ``allowTTL``, ``denyTTL`` (seconds), ``retryBackoff``
    (milliseconds), ``defaultAllow``."""

    name: ClassVar = "ImagePolicyWebhook"
    resources: ClassVar = ("pods", "pods/ephemeralcontainers")

    @classmethod
    def made(cls, tools: Tools) -> Self:
        found = (tools.configuration.get(cls.name) or {}).get("imagePolicy") or {}
        file = found.get("kubeConfigFile")
        if not file:
            raise ValueError("no imagePolicy.kubeConfigFile is configured")
        try:
            remote = Remote(target_of(file))
        except (TargetError, OSError) as problem:
            raise ValueError(str(problem)) from problem
        return cls(remote, tools.clock, found)

    def __init__(self, remote: Remote, clock: Clock, settings: Mapping[str, Any]) -> None:
        self._remote = remote
        self._clock = clock
        self._seconds = {True: settings.get("allowTTL") or 300, False: settings.get("denyTTL") or 30}
        self._backoff_seconds = (settings.get("retryBackoff") or 500) / 1000
        self._default_allow = bool(settings.get("defaultAllow"))
        #: Answers by question, and until when they hold.
        self._kept: dict[bytes, tuple[Mapping[str, Any], float]] = {}

    async def close(self) -> None:
        await self._remote.close()

    def validate(self, attributes: Attributes, obj: Any, old: Any) -> Awaitable[None] | None:
        if old is not None and images(obj.spec) == images(old.spec):
            return None
        return self._check(attributes, obj)

    async def _check(self, attributes: Attributes, obj: Any) -> None:
        question = codec.encode(_review(obj))
        try:
            status = await self._answer(question)
        except RemoteError as problem:
            log.warning("image policy webhook failed", exc_info=problem)
            if not self._default_allow:
                raise forbidden(attributes, obj, str(problem)) from problem
            attributes.audit_annotations[FAILED_OPEN] = "true"
            return
        for name, value in (status.get("auditAnnotations") or {}).items():
            attributes.audit_annotations[PREFIX + name] = str(value)
        if status.get("allowed") is True:
            return
        reason = status.get("reason")
        why = (
            f"image policy webhook backend denied one or more images: {reason}"
            if reason
            else ("one or more images rejected by webhook backend")
        )
        raise forbidden(attributes, obj, why)

    async def _answer(self, question: bytes) -> Mapping[str, Any]:
        """What is kept, or what the server says; asked again while it is the server that fails. Raises RemoteError."""
        now = self._clock.monotonic()
        kept = self._kept.get(question)
        if kept is not None and kept[1] > now:
            return kept[0]
        for attempt in range(ATTEMPTS):
            try:
                status = _status(await self._remote.post(question))
                break
            except RemoteError as problem:
                if attempt == ATTEMPTS - 1 or 0 < problem.code < 500:
                    raise
                await self._clock.sleep(self._backoff_seconds * 1.5**attempt)
        if len(self._kept) >= CACHE_SIZE:
            self._kept.clear()
        self._kept[question] = (status, self._clock.monotonic() + self._seconds[status.get("allowed") is True])
        return status


def _review(pod: Any) -> dict[str, Any]:
    annotations = {name: value for name, value in pod.metadata.annotations.items() if MARK in name}
    listed = [{"image": container.image or ""} for _, container in containers(pod.spec)]
    spec: dict[str, Any] = {"containers": listed}
    if annotations:
        spec["annotations"] = annotations
    spec["namespace"] = pod.metadata.namespace
    return {"kind": "ImageReview", "apiVersion": API_VERSION, "metadata": {}, "spec": spec}


def _status(body: bytes) -> Mapping[str, Any]:
    """Raises RemoteError."""
    try:
        found = codec.decode_builtins(body)
    except codec.DecodeError as problem:
        raise RemoteError(f"the answer is no ImageReview: {problem}", 400) from problem
    status = found.get("status") if isinstance(found, dict) else None
    if not isinstance(status, dict):
        raise RemoteError("the answer is no ImageReview", 400)
    return status
