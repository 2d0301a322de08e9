"""Names of ours in the API. Pure."""

from typing import Final

DOMAIN: Final = "sim.tiphys.dev"
#: Every simulated node has it.
LABEL: Final = f"{DOMAIN}/node"
#: A node whose annotation says "true" has lost power.
DOWN: Final = f"{DOMAIN}/down"
