"""The Pods of a Job. Pure."""

from tiphys.api import batch_v1, core_v1, meta_v1
from tiphys.controllers.job import policies
from tiphys.controllers.job.desired import FAILURE_COUNT, FINALIZER, IGNORED_COUNT, count_of
from tiphys.controllers.job.indexes import INDEX
from tiphys.machinery import codec, meta

#: What a name may have before the server's suffix of five.
LONGEST_PREFIX = 58
ENVIRONMENT = "JOB_COMPLETION_INDEX"


def new_pod(job: batch_v1.Job, index: int | None = None, before: core_v1.Pod | None = None) -> core_v1.Pod:
    """The Pod to create; ``before`` is the failed one that it replaces at its ``index``."""
    template = job.spec.template
    finalizers = [*template.metadata.finalizers]
    if FINALIZER not in finalizers:
        finalizers.append(FINALIZER)
    pod = core_v1.Pod(
        metadata=meta_v1.ObjectMeta(
            generateName=f"{job.metadata.name}-",
            namespace=job.metadata.namespace,
            labels=dict(template.metadata.labels),
            annotations=dict(template.metadata.annotations),
            finalizers=finalizers,
            ownerReferences=[meta.owner_reference(job, controller=True)],
        ),
        spec=template.spec,
    )
    if index is not None:
        pod.spec = codec.copy(template.spec)
        _give_index(job, pod, index, before)
    return pod


def _give_index(job: batch_v1.Job, pod: core_v1.Pod, index: int, before: core_v1.Pod | None) -> None:
    metadata = pod.metadata
    metadata.generateName = f"{job.metadata.name[: LONGEST_PREFIX - len(f'-{index}-')]}-{index}-"
    metadata.annotations[INDEX] = str(index)
    metadata.labels[INDEX] = str(index)
    pod.spec.hostname = f"{job.metadata.name}-{index}"
    source = core_v1.EnvVarSource(
        fieldRef=core_v1.ObjectFieldSelector(fieldPath=f"metadata.labels['{INDEX}']"),
    )
    for container in (*(pod.spec.initContainers or ()), *pod.spec.containers):
        if not any(variable.name == ENVIRONMENT for variable in container.env or ()):
            container.env = [*(container.env or ()), core_v1.EnvVar(name=ENVIRONMENT, valueFrom=source)]
    if job.spec.backoffLimitPerIndex is not None:
        counted, ignored = failure_counts(job, before)
        metadata.annotations[FAILURE_COUNT] = str(counted)
        if ignored:
            metadata.annotations[IGNORED_COUNT] = str(ignored)


def failure_counts(job: batch_v1.Job, before: core_v1.Pod | None) -> tuple[int, int]:
    """Failures at an index, those that count and those that are ignored, after ``before`` has failed."""
    if before is None:
        return 0, 0
    counted, ignored = count_of(before, FAILURE_COUNT), count_of(before, IGNORED_COUNT)
    if policies.judge(job.spec.podFailurePolicy, before).counts:
        return counted + 1, ignored
    return counted, ignored + 1
