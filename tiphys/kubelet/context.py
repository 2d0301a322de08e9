"""What every Pod's agent shares: the runtime, the API, the clock, and what is known of the node."""

import asyncio
import random as random_module
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tiphys.api import core_v1
from tiphys.base.clock import Clock
from tiphys.client import Client, Informer, Recorder
from tiphys.client.tasks import Tasks
from tiphys.kubelet.config import KubeletConfig
from tiphys.kubelet.containers import Paths, log_directory_name
from tiphys.kubelet.cri import CriClient
from tiphys.kubelet.images import Images
from tiphys.kubelet.names import Resolv
from tiphys.kubelet.objects import WatchedObjects
from tiphys.kubelet.prober import Prober
from tiphys.kubelet.tokens import Tokens
from tiphys.kubelet.volumes.manager import VolumeManager


@dataclass(slots=True)
class Context:
    """Made once by the kubelet."""

    config: KubeletConfig
    cri: CriClient
    client: Client
    clock: Clock
    random: random_module.Random
    recorder: Recorder
    tasks: Tasks
    objects: WatchedObjects
    tokens: Tokens
    volumes: VolumeManager
    prober: Prober
    images: Images
    services: Informer[core_v1.Service]
    #: How many Pods may be started at once.
    starting: asyncio.Semaphore
    runtime_name: str = "tiphys"
    memory_capacity: int = 0
    allocatable: Mapping[str, str] = field(default_factory=dict)
    resolv: Resolv = field(default_factory=Resolv)
    #: Set while the runtime says that Pods can get addresses.
    network_ready: asyncio.Event = field(default_factory=asyncio.Event)
    network_problem: str = ""

    def paths(self, pod: core_v1.Pod) -> Paths:
        return Paths(self.pod_directory(pod.metadata.uid), self.config.log_dir / "pods" / log_directory_name(pod))

    def pod_directory(self, uid: str) -> Path:
        return self.config.root_dir / "pods" / uid
