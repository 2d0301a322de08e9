"""Names of the labels and annotations that the kubelet puts on sandboxes and containers in the runtime.

They are Kubernetes' own, which stock CRI tools read; with them a restarted kubelet knows what it had started.
"""

from typing import Final

POD_NAME: Final = "io.kubernetes.pod.name"
POD_NAMESPACE: Final = "io.kubernetes.pod.namespace"
POD_UID: Final = "io.kubernetes.pod.uid"
CONTAINER_NAME: Final = "io.kubernetes.container.name"
CONTAINER_TYPE: Final = "io.kubernetes.container.type"

HASH: Final = "io.kubernetes.container.hash"
RESTART_COUNT: Final = "io.kubernetes.container.restartCount"
MESSAGE_PATH: Final = "io.kubernetes.container.terminationMessagePath"
MESSAGE_POLICY: Final = "io.kubernetes.container.terminationMessagePolicy"
PRE_STOP: Final = "io.kubernetes.container.preStopHandler"
GRACE: Final = "io.kubernetes.pod.terminationGracePeriod"
PORTS: Final = "io.kubernetes.container.ports"
#: Where the host keeps the container's termination message.
MESSAGE_FILE: Final = "tiphys.dev/termination-message-file"
