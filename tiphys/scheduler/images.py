"""Which nodes have which images, so that Pods can go where theirs are.

Source: Kubernetes docs, "Scheduler configuration", plugin ImageLocality.
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from tiphys.api import core_v1

Ints = npt.NDArray[np.int64]


def normalized(name: str) -> str:
    """An image's name with its tag; without one it is the latest."""
    return name if name.rfind(":") > name.rfind("/") else f"{name}:latest"


class Images:
    """Sizes in bytes by image name and row."""

    def __init__(self) -> None:
        self._sizes: dict[str, dict[int, int]] = {}
        self._of_row: dict[int, dict[str, int]] = {}

    def set(self, row: int, images: Iterable[core_v1.ContainerImage]) -> None:
        sizes = {name: image.sizeBytes or 0 for image in images for name in image.names or ()}
        if sizes == self._of_row.get(row, {}):
            return
        for name in self._of_row.pop(row, {}):
            del self._sizes[name][row]
            if not self._sizes[name]:
                del self._sizes[name]
        if sizes:
            self._of_row[row] = sizes
        for name, size in sizes.items():
            self._sizes.setdefault(name, {})[row] = size

    def find(self, name: str) -> tuple[Ints, Ints] | None:
        """Rows that have the image, and its size there."""
        found = self._sizes.get(normalized(name))
        if not found:
            return None
        return np.fromiter(found, np.int64, len(found)), np.fromiter(found.values(), np.int64, len(found))
