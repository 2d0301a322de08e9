"""The summary of what the node and its Pods use, as metrics-server reads it.

Source: the kubelet's stats/v1alpha1 Summary API.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from tiphys.kubelet import labels
from tiphys.kubelet.agent import PodAgent
from tiphys.kubelet.context import Context
from tiphys.kubelet.cri import RuntimeFault
from tiphys.kubelet.machine import load
from tiphys.kubelet.status import at
from tiphys.machinery import times
from tiphys.runtime.cri import api_pb2


async def summary(context: Context, agents: Mapping[str, PodAgent]) -> bytes:
    try:
        found = await context.cri.container_stats()
    except RuntimeFault:
        found = []
    pods: dict[str, dict[str, Any]] = {}
    for entry in found:
        uid = entry.attributes.labels.get(labels.POD_UID, "")
        agent = agents.get(uid)
        if agent is None:
            continue
        meta = agent.pod.metadata
        pod = pods.setdefault(
            uid,
            {
                "podRef": {"name": meta.name, "namespace": meta.namespace, "uid": uid},
                "startTime": agent.worker.reported.startTime,
                "containers": [],
            },
        )
        pod["containers"].append(_container(entry))
    for pod in pods.values():
        for resource, field in (("cpu", "usageNanoCores"), ("memory", "workingSetBytes")):
            pod[resource] = {
                "time": times.format_time(context.clock.now()),
                field: sum(c[resource].get(field, 0) for c in pod["containers"]),
            }
    machine = load(context.config.root_dir)
    now = times.format_time(context.clock.now())
    node = {
        "nodeName": context.config.node_name,
        "memory": {
            "time": now,
            "availableBytes": machine.memory_available_bytes,
            "workingSetBytes": max(0, context.memory_capacity - machine.memory_available_bytes),
        },
        "cpu": {"time": now},
        "fs": {
            "time": now,
            "availableBytes": machine.disk_free_bytes,
            "capacityBytes": machine.disk_bytes,
            "inodesFree": machine.inodes_free,
            "inodes": machine.inodes,
        },
        "rlimit": {"time": now, "maxpid": machine.pid_max, "curproc": machine.pids},
    }
    return msgspec.json.encode({"node": node, "pods": list(pods.values())}, enc_hook=str)


def _container(entry: api_pb2.ContainerStats) -> dict[str, Any]:
    return {
        "name": entry.attributes.metadata.name,
        "cpu": {
            "time": at(entry.cpu.timestamp),
            "usageNanoCores": entry.cpu.usage_nano_cores.value,
            "usageCoreNanoSeconds": entry.cpu.usage_core_nano_seconds.value,
        },
        "memory": {
            "time": at(entry.memory.timestamp),
            "workingSetBytes": entry.memory.working_set_bytes.value,
            "usageBytes": entry.memory.usage_bytes.value,
            "rssBytes": entry.memory.rss_bytes.value,
        },
    }
