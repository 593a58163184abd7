"""What is learnt of a watch stays small, and what people have taught is found again in a crop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamwatch.config import DetectorSettings, WatchSettings
from streamwatch.learning.learnt import (
    BINS,
    MOST_COUNTED,
    MOST_PAIRS,
    NOTHING,
    Learnt,
    Other,
    Taught,
    Together,
    bin_of,
    noted,
    words_of,
)
from streamwatch.records import Vectors
from tests.learning.lessons import vector

DOG = Other("car", "dogs", "dog")


@pytest.mark.parametrize(
    ("confidence", "place"), [(0.0, 0), (0.019, 0), (0.021, 1), (0.5, 25), (0.999, 49), (1.0, 49)]
)
def test_a_confidence_has_its_bin(confidence: float, place: int) -> None:
    assert bin_of(confidence) == place
    assert noted(NOTHING, confidence)[place] == 1
    assert sum(noted(NOTHING, confidence)) == 1


def test_a_full_histogram_is_halved() -> None:
    counts = (*(0,) * 10, MOST_COUNTED - 100, *(0,) * 29, 100, *(0,) * 9)
    assert sum(counts) == MOST_COUNTED
    halved = noted(counts, 0.805)
    assert (halved[10], halved[40]) == ((MOST_COUNTED - 100) // 2, 101 // 2)
    assert len(halved) == BINS


@given(st.lists(st.floats(0, 1), max_size=50))
def test_a_histogram_has_so_many_entries_at_most(confidences: list[float]) -> None:
    learnt = Learnt(visits=(MOST_COUNTED // BINS,) * BINS)
    for confidence in confidences:
        learnt = learnt.with_visit(confidence, {}).with_weak(confidence)
        assert sum(learnt.visits) <= MOST_COUNTED
        assert min(learnt.visits) >= 0
    assert sum(learnt.weak) == len(confidences)


def test_what_was_seen_long_ago_counts_less_and_less() -> None:
    learnt = Learnt()
    for confidence in [0.3] * MOST_COUNTED + [0.8] * MOST_COUNTED:
        learnt = learnt.with_visit(confidence, {})
    assert learnt.visits[bin_of(0.3)] < learnt.visits[bin_of(0.8)] / 2


def test_what_lies_on_a_visit_is_summed_up() -> None:
    learnt = Learnt()
    for own, its in ((0.5, 0.25), (0.75, 0.5)):
        learnt = learnt.with_visit(0.6, {DOG: (own, its)})
    learnt = learnt.with_visit(0.6, {})
    assert learnt.told == 3
    assert learnt.together == {DOG: Together(2, 1.25, 0.75)}


def test_what_lies_on_visits_is_halved_with_their_number() -> None:
    learnt = Learnt(told=MOST_COUNTED, together={DOG: Together(500, 300, 200)})
    learnt = learnt.with_visit(0.6, {})
    assert learnt.told == (MOST_COUNTED + 1) / 2
    assert learnt.together == {DOG: Together(250, 150, 100)}


def test_only_what_lies_on_visits_most_often_is_kept() -> None:
    often = [Other("car", "pets", f"pet {number}") for number in range(MOST_PAIRS)]
    learnt = Learnt(together={other: Together(2, 1, 1) for other in often})
    learnt = learnt.with_visit(0.6, {DOG: (0.5, 0.5)})
    assert set(learnt.together) == set(often)
    learnt = learnt.with_visit(0.6, {often[3]: (0.5, 0.5)})
    assert learnt.together[often[3]].times == 3


def test_a_new_other_takes_the_place_of_one_that_was_seen_once_long_ago() -> None:
    many = {Other("car", "pets", f"pet {number}"): (0.5, 0.5) for number in range(MOST_PAIRS)}
    learnt = Learnt().with_visit(0.6, many).with_visit(0.6, {DOG: (0.5, 0.5)})
    assert len(learnt.together) == MOST_PAIRS
    assert learnt.with_visit(0.6, {DOG: (0.5, 0.5)}).together[DOG].times == 2


# --- crops ----------------------------------------------------------------------------------------


def taught(wrong: dict[str, Vectors], *right: Vectors) -> Taught:
    nothing = np.zeros((0, 3), np.float32)
    return Taught(
        tuple(wrong),
        np.stack([*wrong.values()]) if wrong else nothing,
        np.stack(right) if right else nothing,
    )


WORDS = vector(0, 0, 1)[None]
STATUE, BUSH = vector(1, 0, 0), vector(0, 1, 0)


def test_the_nearest_wrong_crop_is_named() -> None:
    lessons = taught({"statue": STATUE, "bush": BUSH})
    assert lessons.wrong_like(vector(1, 0.1, 0.1), WORDS, 0.9) == "statue"
    assert lessons.wrong_like(vector(0.1, 1, 0.1), WORDS, 0.9) == "bush"


def test_a_crop_that_is_not_near_enough_is_like_none() -> None:
    lessons = taught({"statue": STATUE})
    assert lessons.wrong_like(vector(1, 1, 0), WORDS, 0.75) is None
    assert lessons.wrong_like(vector(1, 1, 0), WORDS, 0.65) == "statue"


def test_a_crop_nearer_to_the_words_is_like_no_wrong_one() -> None:
    lessons = taught({"statue": STATUE})
    assert lessons.wrong_like(vector(1, 0, 1.1), WORDS, 0.5) is None
    assert lessons.wrong_like(vector(1.1, 0, 1), WORDS, 0.5) == "statue"


def test_a_crop_nearer_to_a_right_one_is_spared() -> None:
    near = vector(1, 0.3, 0)
    lessons = taught({"statue": STATUE}, near)
    assert lessons.wrong_like(near, WORDS, 0.5) is None
    assert lessons.wrong_like(STATUE, WORDS, 0.5) == "statue"


def test_wider_vectors_of_words_are_compared_as_far_as_the_image_goes() -> None:
    """The text's last column is the vocabulary's own, which images don't have."""
    words = np.array([[0, 0, 1, 7], [0, 1, 0, 7]], np.float32)
    lessons = taught({"statue": STATUE})
    assert lessons.wrong_like(vector(1, 0.1, 0.1), words, 0.5) == "statue"


def test_crops_of_another_image_tower_are_like_none() -> None:
    lessons = taught({"statue": STATUE})
    assert lessons.wrong_like(vector(1, 0, 0, 0), np.zeros((1, 4), np.float32), 0.0) is None


def test_without_votes_no_crop_is_wrong() -> None:
    assert Taught().wrong_like(STATUE, WORDS, 0.0) is None
    assert taught({}, STATUE).wrong_like(STATUE, WORDS, 0.0) is None


# --- words ----------------------------------------------------------------------------------------


def words(prompts: object = "car", **detector: object) -> str:
    return words_of(
        WatchSettings.model_validate({"prompt": prompts}),
        DetectorSettings.model_validate({"model": "yolov8s-worldv2", **detector}),
    )


def test_what_is_learnt_belongs_to_words_and_to_what_finds_them() -> None:
    different = [
        words(),
        words("cat"),
        words(["car", "cat"]),
        words(["cat", "car"]),
        words(template="a photo of {}"),
        words(model="toybox"),
        words(model="/models/own.pt", text_encoder="clip"),
        words(model="/models/own.pt", text_encoder="mobileclip"),
    ]
    assert len(set(different)) == len(different)
    assert words() == words()


def test_other_settings_leave_what_is_learnt_as_it_is() -> None:
    detector = DetectorSettings.model_validate(
        {"model": "yolov8s-worldv2", "confidence": 0.4, "device": "cpu", "image_size": 320}
    )
    watch = WatchSettings.model_validate(
        {"prompt": ["car"], "confidence": "auto", "not": ["cat"], "dwell": "5s", "name": "Cars"}
    )
    assert words_of(watch, detector) == words()
