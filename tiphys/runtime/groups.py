"""Control groups that go: their members first."""

import logging
import os
import signal
from contextlib import suppress

from tiphys.base.clock import Clock
from tiphys.runtime.linux.cgroups import Cgroups

logger = logging.getLogger(__name__)
FIRST_PAUSE_SECONDS = 0.001
LAST_PAUSE_SECONDS = 1.0


async def dissolve(cgroups: Cgroups, path: str, clock: Clock) -> None:
    """End all members of a group and remove it, with all groups below it; repeating it is fine.

    Members that are nobody's children of ours tell nobody of their end, and the
    kernel lets a process leave its group a moment after its end: hence the pauses.
    """
    pause = FIRST_PAUSE_SECONDS
    while True:
        for pid in cgroups.processes(path):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            cgroups.remove(path)
        except OSError as error:
            if pause > LAST_PAUSE_SECONDS:
                logger.warning("control group %s stays: %s", path, error)
                return
        else:
            return
        await clock.sleep(pause)
        pause *= 2
