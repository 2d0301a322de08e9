"""Which components a cluster has, in the order in which they are started; they stop in the opposite order.

How each is put together stands in ``components/``. Modules named in a row are
imported by the supervisor before it forks, so that all processes share them.
"""

from collections.abc import Mapping

from tiphys.cli.supervisor.components.spawner import ensure_spawner
from tiphys.cli.supervisor.loop import Row

_COMPONENTS = "tiphys.cli.supervisor.components"

ROWS: Mapping[str, Row] = {
    row.name: row
    for row in (
        Row("spawner", adopt=ensure_spawner),
        Row("apiserver", modules=(f"{_COMPONENTS}.apiserver",), run=f"{_COMPONENTS}.apiserver:run"),
        Row("runtime", ("spawner",), modules=(f"{_COMPONENTS}.runtime",), run=f"{_COMPONENTS}.runtime:run"),
        Row("node", ("apiserver", "runtime"), modules=(f"{_COMPONENTS}.node",), run=f"{_COMPONENTS}.node:run"),
        Row(
            "controllers",
            ("apiserver",),
            modules=(f"{_COMPONENTS}.controllers",),
            run=f"{_COMPONENTS}.controllers:run",
        ),
    )
}
