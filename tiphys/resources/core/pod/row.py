"""The row of Pod."""

from tiphys.api import core_v1
from tiphys.resources import subresources
from tiphys.resources.core.pod import columns, strategy
from tiphys.resources.rules import Resource, Subresource

STREAM = ("create", "get")

ROW = Resource(
    group="",
    version="v1",
    kind="Pod",
    plural="pods",
    cls=core_v1.Pod,
    strategy=strategy.PodStrategy(),
    short_names=("po",),
    categories=("all",),
    subresources=(
        Subresource("attach", STREAM, "", "v1", "PodAttachOptions"),
        Subresource("binding", ("create",), "", "v1", "Binding"),
        Subresource("ephemeralcontainers", subresources.READ_WRITE, strategy=strategy.EphemeralContainersStrategy()),
        Subresource("eviction", ("create",), "policy", "v1", "Eviction"),
        Subresource("exec", STREAM, "", "v1", "PodExecOptions"),
        Subresource("log", ("get",)),
        Subresource("portforward", STREAM, "", "v1", "PodPortForwardOptions"),
        Subresource("proxy", subresources.PROXY_VERBS, "", "v1", "PodProxyOptions"),
        Subresource("resize", subresources.READ_WRITE, strategy=strategy.ResizeStrategy()),
        subresources.status(strategy.PodStatusStrategy()),
    ),
    columns=columns.COLUMNS,
    fields={
        "spec.nodeName": lambda pod: pod.spec.nodeName or "",
        "spec.restartPolicy": lambda pod: pod.spec.restartPolicy or "",
        "spec.schedulerName": lambda pod: pod.spec.schedulerName or "",
        "spec.serviceAccountName": lambda pod: pod.spec.serviceAccountName or "",
        "spec.hostNetwork": lambda pod: "true" if pod.spec.hostNetwork else "false",
        "status.phase": lambda pod: pod.status.phase or "",
        "status.podIP": lambda pod: pod.status.podIP or "",
        "status.nominatedNodeName": lambda pod: pod.status.nominatedNodeName or "",
    },
)
