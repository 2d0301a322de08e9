"""All controllers of a cluster, in one process, on one set of informers."""

import asyncio
import random as random_module
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace

from tiphys.base.clock import Clock
from tiphys.base.ids import Ids
from tiphys.client import Client, Informers
from tiphys.controllers.attachdetach.controller import AttachDetachController
from tiphys.controllers.base import Context, Controller
from tiphys.controllers.bootstrapsigner.controller import BootstrapSignerController
from tiphys.controllers.certificates.controller import CertificateController
from tiphys.controllers.config import Config
from tiphys.controllers.cronjob.controller import CronJobController
from tiphys.controllers.daemonset.controller import DaemonSetController
from tiphys.controllers.deployment.controller import DeploymentController
from tiphys.controllers.disruption.controller import DisruptionController
from tiphys.controllers.endpoints.controller import EndpointsController
from tiphys.controllers.endpointslice.controller import EndpointSliceController
from tiphys.controllers.endpointslicemirroring.controller import EndpointSliceMirroringController
from tiphys.controllers.ephemeralvolume.controller import EphemeralVolumeController
from tiphys.controllers.garbagecollector.controller import GarbageCollector
from tiphys.controllers.job.controller import JobController
from tiphys.controllers.legacytokencleaner.controller import LegacyTokenCleanerController
from tiphys.controllers.localpath.controller import LocalPathController
from tiphys.controllers.namespace.controller import NamespaceController
from tiphys.controllers.nodeipam.controller import NodeIpamController
from tiphys.controllers.nodelifecycle.controller import NodeLifecycleController
from tiphys.controllers.persistentvolume.controller import PersistentVolumeController
from tiphys.controllers.podautoscaler.controller import PodAutoscalerController
from tiphys.controllers.podgc.controller import PodGCController
from tiphys.controllers.replicaset.controller import ReplicaSetController
from tiphys.controllers.replicationcontroller.controller import ReplicationControllerController
from tiphys.controllers.resourceclaim.controller import ResourceClaimController
from tiphys.controllers.resourcequota.controller import ResourceQuotaController
from tiphys.controllers.rootca.controller import RootCAController
from tiphys.controllers.serviceaccount.controller import ServiceAccountController
from tiphys.controllers.serviceaccounttoken.controller import ServiceAccountTokenController
from tiphys.controllers.statefulset.controller import StatefulSetController
from tiphys.controllers.tainteviction.controller import TaintEvictionController
from tiphys.controllers.tokencleaner.controller import TokenCleanerController
from tiphys.controllers.ttlafterfinished.controller import TTLAfterFinishedController
from tiphys.controllers.volumeprotection.controller import ClaimProtectionController, VolumeProtectionController

#: One row per controller. See docs/design/controllers.md, "How to add a controller".
CONTROLLERS: tuple[type[Controller], ...] = (
    NamespaceController,
    ServiceAccountController,
    ServiceAccountTokenController,
    LegacyTokenCleanerController,
    BootstrapSignerController,
    TokenCleanerController,
    RootCAController,
    DeploymentController,
    ReplicaSetController,
    ReplicationControllerController,
    DaemonSetController,
    StatefulSetController,
    JobController,
    CronJobController,
    TTLAfterFinishedController,
    DisruptionController,
    CertificateController,
    PodAutoscalerController,
    EndpointSliceController,
    EndpointsController,
    EndpointSliceMirroringController,
    NodeLifecycleController,
    TaintEvictionController,
    NodeIpamController,
    PodGCController,
    PersistentVolumeController,
    ClaimProtectionController,
    VolumeProtectionController,
    EphemeralVolumeController,
    ResourceClaimController,
    AttachDetachController,
    LocalPathController,
    # It counts what all others watch.
    ResourceQuotaController,
    # Last: it shares the informers that the others have asked for.
    GarbageCollector,
)


class Controllers:
    """``async with`` returns once all caches have synced and workers run; leaving drains and stops them.

    ``informers`` may be given, and is then run by whoever owns them, so that the
    scheduler in the same process watches nothing twice. ``clocks`` has those of
    controllers with a clock of their own, by name, which simulations need.
    """

    def __init__(
        self,
        config: Config,
        client: Client,
        clock: Clock,
        ids: Ids | None = None,
        random: random_module.Random | None = None,
        informers: Informers | None = None,
        clocks: Mapping[str, Clock] | None = None,
    ) -> None:
        random = random or random_module.Random()
        self._owns_informers = informers is None
        self.informers = informers or Informers(client, clock, random)
        context = Context(config, client, self.informers, clock, ids or Ids(), random)
        wanted = (cls for cls in CONTROLLERS if not config.only or cls.name in config.only)
        own = clocks or {}
        self.controllers = {cls.name: cls(replace(context, clock=own.get(cls.name, clock))) for cls in wanted}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "Controllers":
        try:
            if self._owns_informers:
                await self._stack.enter_async_context(self.informers)
            await self.informers.wait_synced()
            for controller in self.controllers.values():
                await self._stack.enter_async_context(controller)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def wait(self) -> None:
        """Return only by raising, when a controller or an informer has failed."""
        waits = [self.informers.wait(), *(controller.wait() for controller in self.controllers.values())]
        await asyncio.gather(*waits)
