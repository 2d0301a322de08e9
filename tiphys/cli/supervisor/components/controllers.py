"""Controllers and scheduler: one process, one set of informers, each with its own identity for what it writes."""

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from tiphys.apiserver import pki
from tiphys.base.clock import RealClock
from tiphys.base.ids import Ids
from tiphys.cli import identities
from tiphys.cli.cluster import Cluster, ClusterConfig
from tiphys.cli.supervisor.components.together import Together
from tiphys.client import Informers
from tiphys.controllers.config import Config as ControllersConfig
from tiphys.controllers.loop import Controllers
from tiphys.scheduler.config import Config as SchedulerConfig
from tiphys.scheduler.loop import Scheduler


@asynccontextmanager
async def run(cluster: Cluster, config: ClusterConfig) -> AsyncIterator[Together]:
    clock, source = RealClock(), random.SystemRandom()
    ids = Ids(source)
    files = pki.Pki(cluster.pki)
    settings = ControllersConfig(
        cluster_cidrs=(config.pod_range,),
        root_ca=files.ca.read_text(),
        signing_key=files.pair("ca").key.read_text(),
        service_account_key=files.service_account_key.read_text(),
        local_path_directory=str(cluster.data / "local-path"),
    )
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(
            identities.client(cluster, config, "controllers", "kube-controller-manager")
        )
        scheduling = await stack.enter_async_context(identities.client(cluster, config, "scheduler", "kube-scheduler"))
        informers = Informers(client, clock, source)
        # Both ask for their informers before any starts, so that each resource is listed once.
        controllers = Controllers(settings, client, clock, ids, source, informers)
        scheduler = Scheduler(SchedulerConfig(), scheduling, informers, clock, source)
        await stack.enter_async_context(informers)
        await stack.enter_async_context(controllers)
        await stack.enter_async_context(scheduler)
        yield Together(controllers, scheduler)
