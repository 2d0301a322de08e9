"""Controllers and scheduler: one process, one set of informers, each with its own identity for what it writes."""

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from tiphys.apiserver import pki
from tiphys.base.clock import RealClock
from tiphys.base.ids import Ids
from tiphys.cli import identities
from tiphys.cli.cluster import Cluster, ClusterConfig
from tiphys.cli.errors import UserError
from tiphys.cli.supervisor.components.together import Together
from tiphys.client import Informers
from tiphys.controllers.config import Config as ControllersConfig
from tiphys.controllers.loop import Controllers
from tiphys.scheduler.config import Config as SchedulerConfig
from tiphys.scheduler.configuration import API_VERSION, KIND, ConfigurationError, configured
from tiphys.scheduler.loop import Scheduler
from tiphys.scheduler.serving import Serving, ServingConfig


def scheduler_document(path: Path) -> dict[str, Any]:
    """The configuration in a file. Raises UserError for what the scheduler could not use."""
    # Only starting a cluster with a configuration needs YAML.
    import yaml  # noqa: PLC0415

    try:
        document = yaml.safe_load(path.read_text())
        if not isinstance(document, dict):
            raise ConfigurationError("not an object")
        configured(document)
    except (OSError, yaml.YAMLError, ConfigurationError) as error:
        raise UserError(f"--scheduler-config: {path}: {error}") from error
    return document


def scheduler_config(config: ClusterConfig) -> SchedulerConfig:
    return configured(config.scheduler_config) if config.scheduler_config else SchedulerConfig()


def _serving_config(files: pki.Pki, config: ClusterConfig) -> ServingConfig:
    # The node's certificate names this machine; a scheduler has none of its own.
    pair = files.pair("kubelet-server")
    document = config.scheduler_config or {"apiVersion": API_VERSION, "kind": KIND}
    return ServingConfig(config.scheduler_port, cert=pair.cert, key=pair.key, client_ca=files.ca, document=document)


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
        scheduler = Scheduler(scheduler_config(config), scheduling, informers, clock, source)
        await stack.enter_async_context(informers)
        await stack.enter_async_context(controllers)
        await stack.enter_async_context(scheduler)
        if config.scheduler_port:
            await stack.enter_async_context(Serving(_serving_config(files, config), scheduling, scheduler.metrics.text))
        yield Together(controllers, scheduler)
