"""Fuzz the API server in memory for as long as is wanted: what CI does with three seeds, with many.

    python tools/fuzz.py --seconds 600 [--seed 1000] [--requests 2000]

Prints each problem with its seed and number; the same seed makes the same requests.
"""

import argparse
import asyncio
import logging
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.fuzz import driver
from tests.fuzz.running import fuzzed_server, one

SLOW_SECONDS = 3.5


async def run(seed: int, requests: int) -> list[str]:
    """The problems of one seed."""
    dice = random.Random(seed)
    known: dict[str, bytes] = {}
    faults = driver.Faults()
    log = logging.getLogger("tiphys")
    log.addHandler(faults)
    log.propagate = False
    found = []
    async with fuzzed_server() as api:
        for number in range(requests):
            request = driver.any_request(dice, known, patient=True)
            begun = time.monotonic()
            try:
                problem = await one(api, request, known)
            except Exception as fault:
                problem = f"raised {type(fault).__name__}: {fault}"
            took = time.monotonic() - begun
            # A revision that has not come yet is waited for, three seconds.
            if took > SLOW_SECONDS:
                problem += f" took {took:.1f} s"
            if problem or faults.records:
                shown = (
                    f"{request.method} {request.path[:200]} {request.query} {request.headers} {request.body[:600]!r}"
                )
                found.append(f"seed {seed} number {number}: {problem}\n  {shown}\n" + "\n".join(faults.records))
                faults.records.clear()
    log.removeHandler(faults)
    return found


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--requests", type=int, default=2000)
    arguments = parser.parse_args()
    end = time.monotonic() + arguments.seconds
    seed, problems = arguments.seed, 0
    while time.monotonic() < end:
        for problem in asyncio.run(run(seed, arguments.requests)):
            problems += 1
            print(problem, flush=True)
        seed += 1
    print(f"{seed - arguments.seed} seeds, {problems} problems")
    raise SystemExit(bool(problems))


if __name__ == "__main__":
    main()
