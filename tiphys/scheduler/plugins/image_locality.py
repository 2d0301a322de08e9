"""ImageLocality: prefer nodes that have the Pod's images already.

Source: Kubernetes docs, "Scheduler configuration", plugin ImageLocality.
"""

import numpy as np

from tiphys.scheduler.nodes import Ints, NodeTable
from tiphys.scheduler.plugins.interface import MAX_SCORE, Plugin, Rows
from tiphys.scheduler.pods import PodInfo

#: Smaller images are pulled soon enough; larger ones count no more than this, each.
SIZE_MIN = 23 * 1024 * 1024
SIZE_MAX = 1000 * 1024 * 1024


class ImageLocality(Plugin):
    name = "ImageLocality"
    reads = "placement"
    weight = 1

    def score(self, info: PodInfo, nodes: NodeTable, rows: Rows) -> Ints:
        present = [found for image in info.images if (found := nodes.images.find(image)) is not None]
        if not present:
            return np.zeros(len(rows), np.int64)
        sizes = np.zeros(nodes.height, np.int64)
        for where, size in present:
            # An image that few nodes have counts less, lest all its Pods end up on them.
            sizes[where] += (size * (len(where) / len(nodes))).astype(np.int64)
        highest = SIZE_MAX * max(1, len(info.images))
        sizes = np.clip(sizes[rows], SIZE_MIN, highest)
        points: Ints = MAX_SCORE * (sizes - SIZE_MIN) // (highest - SIZE_MIN)
        return points

    def normalized(self, scores: Ints) -> Ints | None:
        return scores if scores.any() else None
