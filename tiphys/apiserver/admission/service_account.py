"""ServiceAccount: every Pod has one that exists, and its token where programs look for it.

Source: Kubernetes docs, "Managing Service Accounts"; "Configure Service
Accounts for Pods".
"""

from typing import Any, ClassVar, Final, Self

from tiphys.api import core_v1
from tiphys.apiserver.admission.plugin import Plugin, Tools, forbidden, is_mirror
from tiphys.apiserver.seams import Attributes, Objects
from tiphys.base.ids import Ids
from tiphys.machinery.goformat import quote

DEFAULT: Final = "default"
MOUNT_PATH: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
VOLUME_PREFIX: Final = "kube-api-access-"
# An hour, and seven seconds that tell these tokens from those a user asks an hour for.
TOKEN_SECONDS: Final = 3607
DEFAULT_MODE: Final = 0o644
ROOT_CA: Final = "kube-root-ca.crt"


class ServiceAccount(Plugin):
    name: ClassVar = "ServiceAccount"
    operations: ClassVar = ("CREATE",)
    resources: ClassVar = ("pods",)

    @classmethod
    def made(cls, tools: Tools) -> Self:
        return cls(tools.objects, tools.ids)

    def __init__(self, objects: Objects, ids: Ids) -> None:
        self._objects = objects
        self._ids = ids

    def admit(self, attributes: Attributes, obj: Any, old: Any) -> None:
        if is_mirror(obj):
            return
        spec = obj.spec
        spec.serviceAccountName = spec.serviceAccount = spec.serviceAccountName or DEFAULT
        account = self._account(attributes, obj)
        if automounts(account, spec):
            mount_token(spec, self._ids)
        if not spec.imagePullSecrets and account.imagePullSecrets:
            spec.imagePullSecrets = [core_v1.LocalObjectReference(name=one.name) for one in account.imagePullSecrets]

    def validate(self, attributes: Attributes, obj: Any, old: Any) -> None:
        if is_mirror(obj):
            _check_mirror(attributes, obj)
        else:
            self._account(attributes, obj)

    def _account(self, attributes: Attributes, pod: Any) -> Any:
        namespace, name = attributes.namespace, pod.spec.serviceAccountName
        found = self._objects.find("", "serviceaccounts", namespace, name)
        if found is None:
            why = f"error looking up service account {namespace}/{name}: serviceaccount {quote(name)} not found"
            raise forbidden(attributes, pod, why)
        return found


def automounts(account: Any, spec: core_v1.PodSpec) -> bool:
    """The Pod's word, else the account's, else yes."""
    if spec.automountServiceAccountToken is not None:
        return spec.automountServiceAccountToken
    return account.automountServiceAccountToken is not False


def mount_token(spec: core_v1.PodSpec, ids: Ids) -> None:
    """Give every container without anything at the place a mount of the token, in one volume for all."""
    names = [volume.name for volume in spec.volumes or ()]
    existing = next((name for name in names if name.startswith(VOLUME_PREFIX)), "")
    name = existing or VOLUME_PREFIX + ids.suffix()
    needed = False
    for container in (*(spec.initContainers or ()), *spec.containers):
        mounts = container.volumeMounts or []
        if any(mount.mountPath == MOUNT_PATH for mount in mounts):
            continue
        container.volumeMounts = [*mounts, core_v1.VolumeMount(name=name, mountPath=MOUNT_PATH, readOnly=True)]
        needed = True
    if needed and not existing:
        spec.volumes = [*(spec.volumes or ()), token_volume(name)]


def token_volume(name: str) -> core_v1.Volume:
    """Token, root certificate and namespace, as files."""
    namespace = core_v1.DownwardAPIVolumeFile(
        path="namespace", fieldRef=core_v1.ObjectFieldSelector(apiVersion="v1", fieldPath="metadata.namespace")
    )
    token = core_v1.ServiceAccountTokenProjection(expirationSeconds=TOKEN_SECONDS, path="token")
    ca = core_v1.ConfigMapProjection(name=ROOT_CA, items=[core_v1.KeyToPath(key="ca.crt", path="ca.crt")])
    sources = [
        core_v1.VolumeProjection(serviceAccountToken=token),
        core_v1.VolumeProjection(configMap=ca),
        core_v1.VolumeProjection(downwardAPI=core_v1.DownwardAPIProjection(items=[namespace])),
    ]
    return core_v1.Volume(name=name, projected=core_v1.ProjectedVolumeSource(defaultMode=DEFAULT_MODE, sources=sources))


def _check_mirror(attributes: Attributes, pod: Any) -> None:
    if pod.spec.serviceAccountName:
        raise forbidden(attributes, pod, "a mirror pod may not reference service accounts")
    for volume in pod.spec.volumes or ():
        sources = (volume.projected and volume.projected.sources) or ()
        if any(source.serviceAccountToken is not None for source in sources):
            raise forbidden(attributes, pod, "a mirror pod may not use ServiceAccountToken volume projections")
