"""What ``up`` is asked for becomes the configuration of a cluster, kept from then on."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiphys.apiserver import flags
from tiphys.cli.choose import (
    MIXED_NODES_MAX,
    new_config,
    new_simulated_config,
    nodes_port,
    port_problem,
    scheduler_port,
)
from tiphys.cli.cluster import Cluster, ClusterConfig, exclusive, state_root
from tiphys.cli.errors import UserError
from tiphys.cli.supervisor import remote
from tiphys.cli.supervisor.components import apiserver, controllers

DEFAULT_PORT = 6443
#: Simulated nodes, if their number is not said.
SIMULATED_NODES = 3


@dataclass(frozen=True)
class Wanted:
    """What the command line says; None or empty for what it does not."""

    port: int | None
    apiserver_args: list[str]
    scheduler_config: Path | None
    simulate: bool
    nodes: int | None


def check_kind(cluster: Cluster, simulate: bool) -> None:
    """Whether this user can have a cluster of this kind, and this cluster is one."""
    exists = cluster.exists
    simulated = cluster.load().simulate if exists else simulate
    if exists and simulate and not simulated:
        raise UserError(f'cluster "{cluster.name}" has a real node; choose another --name for a simulated one')
    if not simulated and os.geteuid() != 0:
        raise UserError(
            'a cluster with real containers needs root; run "sudo tiphys up", or "tiphys up --simulate" for one without'
        )


def configured(cluster: Cluster, wanted: Wanted) -> ClusterConfig:
    """The cluster's configuration, made now if it is new, changed where something else is wanted."""
    config = _settled(cluster, wanted)
    _configure_scheduler(cluster, config, wanted.scheduler_config)
    return config


def _settled(cluster: Cluster, wanted: Wanted) -> ClusterConfig:
    if not cluster.exists:
        # One at a time on this machine: what others have chosen shows only once they have saved it.
        with exclusive(state_root() / ".choosing"):
            config = _new_config(cluster, wanted)
            check_port(config.port)
            _check_arguments(cluster, config)
            cluster.save(config)
        return config
    config = cluster.load()
    if changed := _changed(config, wanted):
        if remote.find_status(cluster) is not None:
            raise UserError(
                f'cluster "{cluster.name}" runs with other settings ({", ".join(changed)}); '
                f"to change them: tiphys down --name {cluster.name}"
            )
        for field, value in changed.items():
            setattr(config, field, value)
        _choose_nodes_port(cluster, config)
        _check_arguments(cluster, config)
        cluster.save(config)
    return config


def _new_config(cluster: Cluster, wanted: Wanted) -> ClusterConfig:
    make = new_simulated_config if wanted.simulate else new_config
    config = make(cluster, wanted.port or DEFAULT_PORT)
    config.apiserver_args = wanted.apiserver_args
    config.nodes = (SIMULATED_NODES if wanted.simulate else 0) if wanted.nodes is None else wanted.nodes
    _choose_nodes_port(cluster, config)
    return config


def _changed(config: ClusterConfig, wanted: Wanted) -> dict[str, Any]:
    """Fields that are asked to be other than they are."""
    asked = {"port": wanted.port, "apiserver_args": wanted.apiserver_args or None, "nodes": wanted.nodes}
    return {field: value for field, value in asked.items() if value is not None and value != getattr(config, field)}


def _choose_nodes_port(cluster: Cluster, config: ClusterConfig) -> None:
    if not config.simulate and config.nodes > MIXED_NODES_MAX:
        raise UserError(f"beside a real node there is room for {MIXED_NODES_MAX} simulated ones; see --simulate")
    if config.nodes and not config.nodes_port:
        config.nodes_port = nodes_port(cluster, config)


def _configure_scheduler(cluster: Cluster, config: ClusterConfig, file: Path | None) -> None:
    """Take over another configuration, and choose a port if there is none yet."""
    document = controllers.scheduler_document(file) if file is not None else config.scheduler_config
    if document != config.scheduler_config and remote.find_status(cluster) is not None:
        raise UserError(
            f'cluster "{cluster.name}" runs with another scheduler configuration; to change it: '
            f"tiphys down --name {cluster.name}"
        )
    port = config.scheduler_port or scheduler_port(cluster)
    if (document, port) != (config.scheduler_config, config.scheduler_port):
        config.scheduler_config, config.scheduler_port = document, port
        cluster.save(config)


def _check_arguments(cluster: Cluster, config: ClusterConfig) -> None:
    try:
        apiserver.settings(cluster, config)
    except flags.FlagError as problem:
        raise UserError(f"--apiserver-arg: {problem}") from problem


def check_port(port: int) -> None:
    if problem := port_problem(port):
        raise UserError(f"port {port} is {problem}; choose another with --port")
