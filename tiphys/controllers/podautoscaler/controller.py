"""Wires the autoscaler: every 15 seconds a look at each, and at once when its spec changes."""

import msgspec

from tiphys.api import autoscaling_v1, autoscaling_v2, core_v1
from tiphys.client import Done, RequeueAfter, ResourceClient, Result
from tiphys.controllers.base import Context, Controller
from tiphys.controllers.podautoscaler import evaluation
from tiphys.controllers.podautoscaler.behavior import Memory, Said, normalized
from tiphys.controllers.podautoscaler.evaluation import Evaluated, Target
from tiphys.controllers.podautoscaler.metrics import MetricsClient
from tiphys.controllers.podautoscaler.replicas import NoMetric
from tiphys.machinery import codec, conditions, errors, meta, selectors, times
from tiphys.resources import table

Autoscaler = autoscaling_v2.HorizontalPodAutoscaler

PERIOD_SECONDS = 15.0
ABLE, ACTIVE, LIMITED = "AbleToScale", "ScalingActive", "ScalingLimited"


class PodAutoscalerController(Controller):
    name = "horizontalpodautoscaler"
    component = "horizontal-pod-autoscaler"
    concurrency = 5

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.autoscalers = self.informers.of(Autoscaler)
        self.pods = self.informers.of(core_v1.Pod)
        self._calls = self.client.of(Autoscaler)
        self._metrics = MetricsClient(self.client)
        self._memories: dict[str, Memory] = {}
        self.pods.add_index("namespace", lambda pod: (pod.metadata.namespace,))
        self.autoscalers.add_handler(self.enqueue, self._updated)

    def _updated(self, old: Autoscaler, new: Autoscaler) -> None:
        if old.spec != new.spec:
            self.enqueue(new)

    async def reconcile(self, key: str) -> Result:
        hpa = self.autoscalers.get(key)
        if hpa is None:
            self._memories.pop(key, None)
            return Done()
        look = _Look(self, hpa, self._memories.setdefault(key, Memory()))
        try:
            await look.run()
        finally:
            if look.status != hpa.status:
                await self._write(hpa, look.status)
        return RequeueAfter(PERIOD_SECONDS)

    async def _write(self, hpa: Autoscaler, status: autoscaling_v2.HorizontalPodAutoscalerStatus) -> None:
        try:
            await self._calls.update_status(msgspec.structs.replace(hpa, status=status))
        except errors.NotFound:
            return

    def matching(self, namespace: str, selector: str) -> list[core_v1.Pod]:
        wanted = selectors.parse_labels(selector)
        return [pod for pod in self.pods.by_index("namespace", namespace) if wanted.matches(pod.metadata.labels)]

    async def evaluate(self, target: Target, spec: autoscaling_v2.MetricSpec) -> Evaluated:
        return await evaluation.evaluate(self._metrics, target, spec, self.clock.now())

    def scalable(self, hpa: Autoscaler) -> ResourceClient[object]:
        """The resource of the target. Raises LookupError."""
        ref = hpa.spec.scaleTargetRef
        version = ref.apiVersion or "v1"
        row = table.by_kind(meta.group_of(version), meta.version_of(version), ref.kind)
        found: ResourceClient[object] = self.client.of(row.cls)
        return found


class _Look:
    """One look at one autoscaler; ``status`` is what is to be written when it ends."""

    def __init__(self, controller: PodAutoscalerController, hpa: Autoscaler, memory: Memory) -> None:
        self.controller, self.hpa, self.memory = controller, hpa, memory
        self.now = controller.clock.now()
        self.status = msgspec.structs.replace(hpa.status, observedGeneration=hpa.metadata.generation)

    def _event(self, kind: str, reason: str, message: str) -> None:
        self.controller.recorder.event(self.hpa, kind, reason, message)

    def _say(self, kind: str, said: Said) -> None:
        condition = autoscaling_v2.HorizontalPodAutoscalerCondition(
            type=kind, status=said.status, reason=said.reason, message=said.message
        )
        listed = conditions.set_condition(self.status.conditions, condition, self.now)
        self.status = msgspec.structs.replace(self.status, conditions=listed)

    async def run(self) -> None:
        ref = self.hpa.spec.scaleTargetRef
        namespace = self.hpa.metadata.namespace
        try:
            calls = self.controller.scalable(self.hpa)
            path = calls.path(namespace, ref.name, "scale")
            scale = codec.decode(autoscaling_v1.Scale, await self.controller.client.request("GET", path))
        except (errors.StatusError, LookupError) as error:
            self._event("Warning", "FailedGetScale", str(error))
            text = f"the HPA controller was unable to get the target's current scale: {error}"
            self._say(ABLE, Said("False", "FailedGetScale", text))
            return
        text = "the HPA controller was able to get the target's current scale"
        self._say(ABLE, Said("True", "SucceededGetScale", text))
        current = scale.spec.replicas or 0
        wanted, why = await self._wanted(current, scale.status.selector or "")
        self.status = msgspec.structs.replace(self.status, currentReplicas=current)
        if wanted is None:
            return
        if wanted != current:
            await self._rescale(path, scale, current, wanted, why)
        self.status = msgspec.structs.replace(self.status, desiredReplicas=wanted)

    async def _wanted(self, current: int, selector: str) -> tuple[int | None, str]:
        """The size to take, None if it cannot be known, and why."""
        spec = self.hpa.spec
        least = 1 if spec.minReplicas is None else spec.minReplicas
        if current == 0 and least != 0:
            text = "scaling is disabled since the replica count of the target is zero"
            self._say(ACTIVE, Said("False", "ScalingDisabled", text))
            return 0, ""
        if current > spec.maxReplicas:
            return spec.maxReplicas, "Current number of replicas above Spec.MaxReplicas"
        if current < least:
            return least, "Current number of replicas below Spec.MinReplicas"
        found = await self._measure(current, selector)
        if found is None:
            return None, ""
        why = f"{found.name} above target" if found.replicas > current else "All metrics below target"
        self.memory.forget(self.now)
        normal = normalized(self.hpa, current, found.replicas, self.memory, self.now)
        self._say(ABLE, normal.able)
        self._say(LIMITED, normal.limited)
        return normal.replicas, why

    async def _measure(self, current: int, selector: str) -> Evaluated | None:
        """The metric that wants most; None if none is known, or too few to shrink."""
        if not selector:
            text = "selector is required"
            self._event("Warning", "SelectorRequired", text)
            self._say(ACTIVE, Said("False", "InvalidSelector", "the HPA target's scale is missing a selector"))
            return None
        target = Target(self.hpa, current, selector, self.controller.matching(self.hpa.metadata.namespace, selector))
        found: list[Evaluated] = []
        failures: list[tuple[str, str]] = []
        specs = self.hpa.spec.metrics or []
        for spec in specs:
            try:
                found.append(await self.controller.evaluate(target, spec))
            except NoMetric as error:
                reason = evaluation.REASONS.get(spec.type, "InvalidMetricSourceType")
                failures.append((reason, str(error)))
                self._event("Warning", reason, str(error))
        self.status = msgspec.structs.replace(self.status, currentMetrics=[each.status for each in found] or None)
        best = max(found, key=lambda each: each.replicas, default=None)
        if failures and (best is None or best.replicas < current):
            reason, first = failures[0]
            self._say(ACTIVE, Said("False", reason, f"the HPA was unable to compute the replica count: {first}"))
            text = f"invalid metrics ({len(failures)} invalid out of {len(specs)}), first error is: {first}"
            self._event("Warning", "FailedComputeMetricsReplicas", text)
            return None
        if best is not None:
            text = f"the HPA was able to successfully calculate a replica count from {best.name}"
            self._say(ACTIVE, Said("True", "ValidMetricFound", text))
        return best

    async def _rescale(self, path: str, scale: autoscaling_v1.Scale, current: int, wanted: int, why: str) -> None:
        changed = msgspec.structs.replace(scale, spec=autoscaling_v1.ScaleSpec(replicas=wanted))
        try:
            await self.controller.client.request("PUT", path, body=codec.encode(changed))
        except errors.StatusError as error:
            self._event("Warning", "FailedRescale", f"New size: {wanted}; reason: {why}; error: {error}")
            text = f"the HPA controller was unable to update the target scale: {error}"
            self._say(ABLE, Said("False", "FailedUpdateScale", text))
            self.status = msgspec.structs.replace(self.status, desiredReplicas=current)
            raise
        text = f"the HPA controller was able to update the target scale to {wanted}"
        self._say(ABLE, Said("True", "SucceededRescale", text))
        self._event("Normal", "SuccessfulRescale", f"New size: {wanted}; reason: {why}")
        self.memory.changes.append((self.now, wanted - current))
        self.status = msgspec.structs.replace(self.status, lastScaleTime=times.format_time(self.now))
