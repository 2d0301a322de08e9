"""Which components a cluster has, in the order in which they are started; they stop in the opposite order.

How each is put together stands in ``components/``. Modules named in a row are
imported by the supervisor before it forks, so that all processes share them.
"""

from collections.abc import Mapping
from dataclasses import replace

from tiphys.cli.cluster import Cluster, ClusterConfig
from tiphys.cli.supervisor.loop import Row

_COMPONENTS = "tiphys.cli.supervisor.components"


def _ensure_spawner(cluster: Cluster, config: ClusterConfig) -> int:
    # Late, because a cluster without a real node runs where none of this is.
    from tiphys.cli.supervisor.components.spawner import ensure_spawner  # noqa: PLC0415

    return ensure_spawner(cluster, config)


def _row(name: str, *after: str) -> Row:
    return Row(name, after, modules=(f"{_COMPONENTS}.{name}",), run=f"{_COMPONENTS}.{name}:run")


#: Every component that any cluster has.
ROWS: Mapping[str, Row] = {
    row.name: row
    for row in (
        Row("spawner", adopt=_ensure_spawner),
        _row("apiserver"),
        _row("runtime", "spawner"),
        _row("node", "apiserver", "runtime"),
        _row("controllers", "apiserver"),
        _row("nodes", "apiserver"),
    )
}


def rows(config: ClusterConfig) -> Mapping[str, Row]:
    """Those of this cluster: ``nodes`` are the simulated ones, and without a real one nothing runs containers."""
    real = () if config.simulate else ("spawner", "runtime", "node")
    simulated = ("nodes",) if config.nodes else ()
    wanted = {"apiserver", "controllers", *real, *simulated}
    found = {name: row for name, row in ROWS.items() if name in wanted}
    if real and simulated:
        # The real node comes first: its range is the first of the cluster's, in which DNS answers.
        found["nodes"] = replace(found["nodes"], after=("apiserver", "node"))
    return found
