"""Ids come from the generator they are given and from nothing else."""

import random
import uuid

from tiphys.base.ids import ALPHABET, Ids


def test_the_same_seed_draws_the_same_ids() -> None:
    one, other = Ids(random.Random(7)), Ids(random.Random(7))
    assert [one.uid(), one.suffix(), one.uid()] == [other.uid(), other.suffix(), other.uid()]


def test_uids_are_version_4() -> None:
    assert uuid.UUID(Ids(random.Random(1)).uid()).version == 4


def test_suffixes_have_no_vowels() -> None:
    suffix = Ids(random.Random(1)).suffix(100)
    assert len(suffix) == 100
    assert set(suffix) <= set(ALPHABET)
    assert not set("aeiou013") & set(ALPHABET)
