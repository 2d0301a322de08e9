"""The ReplicaSet controller, over ReplicationControllers."""

from typing import Any

import msgspec

from tiphys.api import apps_v1, core_v1
from tiphys.client import Informer
from tiphys.controllers.replicaset.controller import ReplicaSetController
from tiphys.controllers.replicationcontroller.conversion import KIND, as_set, status_of


class ReplicationControllerController(ReplicaSetController):
    name = "replicationcontroller"
    component = "replication-controller"
    kind = KIND

    def _informer(self) -> Informer[apps_v1.ReplicaSet]:
        found: Informer[Any] = self.informers.of(core_v1.ReplicationController, transform=as_set)
        return found

    async def _fresh(self, rs: apps_v1.ReplicaSet) -> apps_v1.ReplicaSet:
        calls = self.client.of(core_v1.ReplicationController)
        return as_set(await calls.get(rs.metadata.name, rs.metadata.namespace))

    async def _put_status(self, rs: apps_v1.ReplicaSet) -> None:
        # Its spec is not written, and need not be said.
        found = core_v1.ReplicationController(metadata=rs.metadata, status=status_of(rs))
        await self.client.of(core_v1.ReplicationController).update_status(found)

    async def _write_status(self, rs: apps_v1.ReplicaSet, new: apps_v1.ReplicaSetStatus) -> None:
        await super()._write_status(rs, msgspec.structs.replace(new, terminatingReplicas=None))
