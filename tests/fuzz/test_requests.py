"""A few thousand requests from fixed seeds, each answered by a value or a declared refusal.

``tools/fuzz.py`` goes on where this ends.
"""

import logging
import random

import pytest

from tests.fuzz import driver
from tests.fuzz.running import fuzzed_server, one


@pytest.mark.parametrize("seed", range(3))
async def test_nothing_but_values_and_refusals(seed: int) -> None:
    dice = random.Random(seed)
    known: dict[str, bytes] = {}
    faults = driver.Faults()
    logging.getLogger("tiphys").addHandler(faults)
    try:
        async with fuzzed_server() as api:
            for number in range(1000):
                request = driver.any_request(dice, known)
                problem = await one(api, request, known)
                assert not problem and not faults.records, (seed, number, request, problem, faults.records)
    finally:
        logging.getLogger("tiphys").removeHandler(faults)
