"""What must hold in every cluster at every moment, looked at with each change of a Pod.

- A Pod has at most one controlling owner, and it never changes to another.
- A Pod's node, once chosen, stays.
- A Pod that has ended (Succeeded or Failed) stays as it ended.
- A watch never goes back: no version of an object is older than the one before.
"""

from tiphys.api import core_v1
from tiphys.client import Informers
from tiphys.machinery import meta


class Invariants:
    """Collects what is broken in ``broken``, a sentence each."""

    def __init__(self, informers: Informers) -> None:
        self.broken: list[str] = []
        informers.of(core_v1.Pod).add_handler(self._added, self._updated)

    def _added(self, pod: core_v1.Pod) -> None:
        owners = [owner.name for owner in pod.metadata.ownerReferences or () if owner.controller]
        if len(owners) > 1:
            self._say(pod, f"has {len(owners)} controllers: {', '.join(owners)}")

    def _updated(self, old: core_v1.Pod, new: core_v1.Pod) -> None:
        self._added(new)
        if int(new.metadata.resourceVersion) < int(old.metadata.resourceVersion):
            before, after = old.metadata.resourceVersion, new.metadata.resourceVersion
            self._say(new, f"the watch went back from version {before} to {after}")
        if old.metadata.uid != new.metadata.uid:
            return
        if old.spec.nodeName and old.spec.nodeName != new.spec.nodeName:
            self._say(new, f"moved from node {old.spec.nodeName} to {new.spec.nodeName}")
        if old.status.phase in ("Succeeded", "Failed") and old.status.phase != new.status.phase:
            self._say(new, f"had ended as {old.status.phase} and is now {new.status.phase}")
        first, second = meta.controller_of(old), meta.controller_of(new)
        if first is not None and second is not None and first.uid != second.uid:
            self._say(new, f"went from {first.kind} {first.name} to {second.kind} {second.name}")

    def _say(self, pod: core_v1.Pod, text: str) -> None:
        self.broken.append(f"pod {meta.key_of(pod)} {text}")
