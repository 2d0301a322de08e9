"""One probe of one container, from its start until it is stopped."""

from collections.abc import Callable

from tiphys.api import core_v1
from tiphys.kubelet import probes
from tiphys.kubelet.context import Context
from tiphys.kubelet.prober import ProbeErrored, Target
from tiphys.kubelet.protocol import StartProbe


async def run_probe(
    context: Context,
    instruction: StartProbe,
    probe: core_v1.Probe,
    target: Target,
    turned: Callable[[bool], None],
    say: Callable[[str], None],
) -> None:
    """Try the probe at its times; ``turned`` hears of each new verdict, ``say`` of each failure."""
    clock = context.clock
    run = probes.ProbeRun.of(instruction.kind, probe, instruction.passing)
    period = probes.period_seconds(probe)
    started = instruction.started_at / 1e9
    if clock.now().timestamp() - started > period:
        # Many containers may be found running at once by a kubelet that has just started.
        await clock.sleep(started + float(probe.initialDelaySeconds or 0) - clock.now().timestamp())
        await clock.sleep(context.random.random() * period)
    elif await _early(context, run, probe, target, turned, started):
        await clock.sleep(period)
    else:
        await clock.sleep(started + probes.first_counted_seconds(run.kind, probe) - clock.now().timestamp())
    word = instruction.kind.capitalize()
    while not run.over:
        try:
            ok, text = await context.prober.probe(probe, target)
        except ProbeErrored as error:
            say(f"{word} probe errored and resulted in unknown state: {error}")
        else:
            if not ok:
                say(f"{word} probe failed: {text}")
            verdict = run.note(ok)
            if verdict is not None:
                turned(verdict)
        await clock.sleep(period)


async def _early(
    context: Context,
    run: probes.ProbeRun,
    probe: core_v1.Probe,
    target: Target,
    turned: Callable[[bool], None],
    started: float,
) -> bool:
    """Try soon and often while the container comes up; whether it passed. See ``probes.EAGER_SECONDS``."""
    if run.kind == "liveness" or run.passing:
        return False
    begin = max(started + float(probe.initialDelaySeconds or 0), context.clock.now().timestamp())
    for offset in probes.EAGER_SECONDS:
        await context.clock.sleep(begin + offset - context.clock.now().timestamp())
        try:
            ok, _ = await context.prober.probe(probe, target)
        except ProbeErrored:
            # The regular attempts will say so.
            return False
        if ok:
            verdict = run.note(True)
            if verdict is not None:
                turned(verdict)
            return True
    return False
