"""docs/vectors.json: what other languages test themselves with. hive agrees with all of it, bit for bit."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from hive.errors import SequenceError
from hive.planner.sequence_base import KNOWN
from hive.planner.sequences import decoded, sequence_from_descriptor
from tests.planner import reference

FILE: dict[str, Any] = json.loads(reference.PATH.read_text(encoding="utf-8"))


@pytest.mark.parametrize("vector", FILE["vectors"], ids=lambda vector: json.dumps(vector["descriptor"])[:60])
def test_sequence_has_the_values_of_its_vector(vector: dict[str, Any]) -> None:
    sequence = sequence_from_descriptor(vector["descriptor"])
    for step, value in vector["values"]:
        assert repr(sequence(step)) == repr(decoded(value, "value", 0)), step


@pytest.mark.parametrize("descriptor", FILE["refused"], ids=str)
def test_what_is_no_descriptor_is_refused(descriptor: object) -> None:
    with pytest.raises(SequenceError):
        sequence_from_descriptor(descriptor)


def test_every_sequence_has_several_vectors() -> None:
    counts = Counter(vector["descriptor"]["fn"] for vector in FILE["vectors"])
    assert counts.keys() == KNOWN.keys()
    assert min(counts.values()) >= 2


def test_vector_that_hangs_on_the_last_bit_of_somebody_s_arithmetic_is_not_made() -> None:
    assert reference.value({"fn": "Linear", "initial": 0, "final": 1, "steps": 3}, 1) == 0.333333333333
    with pytest.raises(AssertionError, match="next to a tie"):
        reference.value({"fn": "Constant", "value": 1.000000000005}, 0)


def test_vectors_are_what_the_reference_makes() -> None:
    assert reference.PATH.read_text(encoding="utf-8") == reference.text()
