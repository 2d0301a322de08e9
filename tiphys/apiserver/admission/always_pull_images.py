"""AlwaysPullImages: nobody runs an image that lies on a node for others without showing that he may pull it.

Source: Kubernetes docs, "Admission Control", AlwaysPullImages.
"""

from collections.abc import Iterator
from typing import Any, ClassVar, Final

from tiphys.apiserver.admission.plugin import Plugin, forbidden
from tiphys.apiserver.seams import Attributes
from tiphys.machinery import fields

ALWAYS: Final = "Always"


class AlwaysPullImages(Plugin):
    name: ClassVar = "AlwaysPullImages"
    resources: ClassVar = ("pods", "pods/ephemeralcontainers")

    def admit(self, attributes: Attributes, obj: Any, old: Any) -> None:
        if old is not None and images(obj.spec) <= images(old.spec):
            return
        for _, container in containers(obj.spec):
            container.imagePullPolicy = ALWAYS
        for volume in obj.spec.volumes or ():
            if volume.image is not None:
                volume.image.pullPolicy = ALWAYS

    def validate(self, attributes: Attributes, obj: Any, old: Any) -> None:
        if old is not None and images(obj.spec) <= images(old.spec):
            return
        for path, container in containers(obj.spec):
            if container.imagePullPolicy != ALWAYS:
                problem = fields.not_supported(f"{path}.imagePullPolicy", container.imagePullPolicy or "", [ALWAYS])
                raise forbidden(attributes, obj, str(problem))


def containers(spec: Any) -> Iterator[tuple[str, Any]]:
    """Every container with its path, in Kubernetes' order of visiting them."""
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for index, container in enumerate(getattr(spec, field) or ()):
            yield f"spec.{field}[{index}]", container


def images(spec: Any) -> set[str]:
    """The images of all containers and volumes."""
    found = {container.image or "" for _, container in containers(spec)}
    return found | {volume.image.reference or "" for volume in spec.volumes or () if volume.image is not None}
