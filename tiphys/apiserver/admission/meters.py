"""What is counted of admission, its webhooks and its policies, under Kubernetes' names.

Source: Kubernetes docs, "Kubernetes Metrics Reference", apiserver_admission_* and
apiserver_{validating,mutating}_admission_policy_check_total.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Final

from tiphys.apiserver.instruments import Histogram, head, labelled

DURATION_BUCKETS: Final = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0, 25.0)
ADMIT: Final = "admit"
VALIDATING: Final = "validating"
#: Why a request was turned away: by the webhook's word, or because it could not be asked.
NO_ERROR: Final = "no_error"
CALLING_ERROR: Final = "calling_webhook_error"

#: What kept a policy from telling: nothing, text that does not compile, a value that cannot be had, its cost.
COMPILE_ERROR: Final = "compile_error"
INVALID_ERROR: Final = "invalid_error"
OUT_OF_BUDGET: Final = "out_of_budget"

_PREFIX: Final = "apiserver_admission_webhook"


class Meters:
    """One per API server. Names are webhooks', of which there are as many as somebody configured."""

    def __init__(self) -> None:
        self._durations: defaultdict[tuple[str, str, str, bool], Histogram] = defaultdict(
            lambda: Histogram(DURATION_BUCKETS)
        )
        self._requests: Counter[tuple[str, str, str, int, bool]] = Counter()
        self._rejections: Counter[tuple[str, str, str, str, int]] = Counter()
        self._open: Counter[tuple[str, str]] = Counter()
        self._steps: dict[tuple[str, str, bool], Histogram] = {}
        self._validated: Counter[tuple[str, str, str, str]] = Counter()
        self._mutated: Counter[tuple[str, str, str]] = Counter()

    def step(self, kind: str, operation: str, rejected: bool, seconds: float) -> None:
        """All of a request's mutating (``admit``) or all of its validating steps have ended."""
        found = self._steps.get((kind, operation, rejected))
        if found is None:
            found = self._steps[kind, operation, rejected] = Histogram(DURATION_BUCKETS)
        found.observe(seconds)

    def validated(self, policy: str, binding: str, error: str, action: str) -> None:
        """A policy was evaluated; ``action`` is ``allow``, or what its binding does about what it found."""
        self._validated[policy, binding, error, action] += 1

    def mutated(self, policy: str, binding: str, error: str) -> None:
        """One mutation of a policy was evaluated."""
        self._mutated[policy, binding, error] += 1

    def asked(self, name: str, kind: str, operation: str, code: int, rejected: bool, seconds: float) -> None:
        """A webhook has answered or failed; ``code`` is what it answered, 0 if nothing."""
        self._durations[name, kind, operation, rejected].observe(seconds)
        self._requests[name, kind, operation, code, rejected] += 1

    def rejected(self, name: str, kind: str, operation: str, error: str, code: int) -> None:
        """A request is refused because of a webhook; ``code`` is that of its refusal, 0 if it gave none."""
        self._rejections[name, kind, operation, error, min(code, 600)] += 1

    def failed_open(self, name: str, kind: str) -> None:
        """A webhook failed and is ignored."""
        self._open[name, kind] += 1

    def lines(self) -> Iterator[str]:
        """Prometheus' text; nothing of what never happened."""
        if self._steps:
            name = "apiserver_admission_step_admission_duration_seconds"
            yield from head(name, "histogram", "Seconds that all steps of one kind took.")
            for (kind, operation, rejected), histogram in sorted(self._steps.items()):
                labels = {"operation": operation, "rejected": str(rejected).lower(), "type": kind}
                yield from histogram.lines(name, labelled(labels))
        if self._requests:
            yield from self._webhooks()
        yield from self._policies()

    def _policies(self) -> Iterator[str]:
        name = "apiserver_validating_admission_policy_check_total"
        if self._validated:
            yield from head(name, "counter", "Evaluations of policies by what came of them.")
        for (policy, binding, error, action), count in sorted(self._validated.items()):
            labels = {"enforcement_action": action, "error_type": error, "policy": policy, "policy_binding": binding}
            yield f"{name}{{{labelled(labels)}}} {count}"
        name = "apiserver_mutating_admission_policy_check_total"
        if self._mutated:
            yield from head(name, "counter", "Evaluations of mutations.")
        for (policy, binding, error), count in sorted(self._mutated.items()):
            labels = {"error_type": error, "policy": policy, "policy_binding": binding}
            yield f"{name}{{{labelled(labels)}}} {count}"

    def _webhooks(self) -> Iterator[str]:
        name = f"{_PREFIX}_admission_duration_seconds"
        yield from head(name, "histogram", "Seconds that webhooks took.")
        for (hook, kind, operation, rejected), histogram in sorted(self._durations.items()):
            labels = {"name": hook, "operation": operation, "rejected": str(rejected).lower(), "type": kind}
            yield from histogram.lines(name, labelled(labels))
        name = f"{_PREFIX}_request_total"
        yield from head(name, "counter", "Questions to webhooks by their answers.")
        for (hook, kind, operation, code, rejected), count in sorted(self._requests.items()):
            labels = {"code": str(code), "name": hook, "operation": operation}
            labels |= {"rejected": str(rejected).lower(), "type": kind}
            yield f"{name}{{{labelled(labels)}}} {count}"
        name = f"{_PREFIX}_rejection_count"
        yield from head(name, "counter", "Requests that were refused because of a webhook.")
        for (hook, kind, operation, error, code), count in sorted(self._rejections.items()):
            labels = {"error_type": error, "name": hook, "operation": operation}
            labels |= {"rejection_code": str(code), "type": kind}
            yield f"{name}{{{labelled(labels)}}} {count}"
        name = f"{_PREFIX}_fail_open_count"
        yield from head(name, "counter", "Failures of webhooks that were ignored.")
        for (hook, kind), count in sorted(self._open.items()):
            yield f"{name}{{{labelled({'name': hook, 'type': kind})}}} {count}"
