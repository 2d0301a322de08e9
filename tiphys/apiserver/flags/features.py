"""Flags that switch versions, resources and features."""

from collections.abc import Sequence
from typing import Final

from tiphys.apiserver.flags.flag import Flag, boolean, listed


def switches(values: Sequence[str]) -> dict[str, bool]:
    """``a=true,b=false,c``; a name without a value means true. A leading ``/`` of group versions may stand there."""
    found = {}
    for part in listed(values):
        name, given, value = part.partition("=")
        found[name.strip("/")] = boolean([value]) if given else True
    return found


FLAGS: Final = (
    Flag("runtime-config", "server", "runtime_config", switches, "Versions and resources, such as api/beta=true."),
    Flag("feature-gates", "server", "feature_gates", switches, "Features, such as GenericWorkload=true."),
)
