"""Which common things are held against a watch's words, and which may mean the same."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
import pytest

from streamwatch.config import words
from streamwatch.records import Vectors
from streamwatch.second_look.kinds import GROUPS, Group, all_rivals, rivals_of

NEAR = 0.3
PEOPLE = {"person", "man", "woman", "child"}
ANIMALS = {*GROUPS[1].rivals}
VEHICLES = {*GROUPS[2].rivals}
BAGS = {*GROUPS[3].rivals}
BACKGROUNDS = {*GROUPS[-1].rivals}
OTHERS = {*all_rivals()}
CYCLES = {"bicycle", "motorcycle"}


def vectors_of(near: Mapping[str, str]) -> dict[str, Vectors]:
    """Of all rivals, each at a right angle to the others, and of prompts that are near one."""
    axes = np.eye(512, dtype=np.float32)
    vectors = {rival: axes[place] for place, rival in enumerate(all_rivals())}
    for prompt, rival in near.items():
        vectors[prompt] = 0.4 * vectors[rival] + np.sqrt(1 - 0.4**2) * axes[-1]
    return vectors


def held_against(*prompts: str, **near: str) -> set[str]:
    """The rivals of prompts that are near none, or near those in `near`."""
    vectors = vectors_of(near)
    far = {prompt: np.eye(512, dtype=np.float32)[-1] for prompt in prompts}
    return {*rivals_of(prompts, far | vectors, NEAR)}


@pytest.mark.parametrize(
    ("prompt", "left_out"),
    [
        # people, by whatever word
        ("person", PEOPLE),
        ("People", PEOPLE),
        ("two women", PEOPLE),
        ("children", PEOPLE),
        ("three men in suits", PEOPLE),
        ("runner", PEOPLE),
        ("cyclist", PEOPLE | {"bicycle"}),
        ("motorcyclist", PEOPLE | {"motorcycle"}),
        ("postman", PEOPLE),
        ("delivery man", PEOPLE | {"parcel", "box"}),
        ("construction worker", PEOPLE),
        ("person wearing sunglasses", PEOPLE),
        ("ladies", PEOPLE),
        ("passers-by", PEOPLE),
        ("babies", PEOPLE),
        ("policemen", PEOPLE),
        ("joggers", PEOPLE),
        # things that the phrase names beside its main word are no rivals either
        ("person with a dog", PEOPLE | {"dog"}),
        ("dog walker", PEOPLE | {"dog"}),
        ("man at the window", PEOPLE | BACKGROUNDS),
        ("brown dog with a ball", {"dog", "ball", "balloon"}),
        ("dog in a car", {"dog", "car"}),
        # animals
        ("dog", {"dog"}),
        ("puppy", {"dog"}),
        ("puppies", {"dog"}),
        ("mice", {"squirrel"}),
        ("animal", ANIMALS),
        ("wild animals", ANIMALS),
        # vehicles
        ("car", {"car"}),
        ("cars", {"car"}),
        ("red car", {"car"}),
        ("RED CAR", {"car"}),
        ("parked car", {"car"}),
        ("police car", {"car"}),
        ("car turning left", {"car"}),
        ("fire truck", {"truck", "van"}),
        ("buses", {"bus"}),
        ("bikes", CYCLES),
        ("vehicle", VEHICLES),
        # other things
        ("suitcase", {"suitcase"}),
        ("bag", BAGS),
        ("boxes", {"parcel", "box"}),
        ("benches", {"table", "bench"}),
        ("washing machine", {"washing machine", "refrigerator"}),
        ("broken washing machine", {"washing machine", "refrigerator"}),
        ("brick building", BACKGROUNDS),
        ("stop sign", {"stop sign"}),
    ],
)
def test_what_a_phrase_may_mean_is_left_out(prompt: str, left_out: set[str]) -> None:
    assert held_against(prompt) == OTHERS - left_out


@pytest.mark.parametrize(
    "prompt",
    ["dog", "red car", "runner", "suitcase", "buses", "broken washing machine", "brick building"],
)
def test_of_a_phrase_whose_main_word_is_known_no_vector_is_asked(prompt: str) -> None:
    """A cat is held against a dog, whose vectors are near."""
    assert held_against(prompt, **{prompt: "cat"}) == held_against(prompt) | {"cat"}


def test_an_unknown_word_leaves_out_the_groups_that_it_is_near_to() -> None:
    assert held_against("labradoodle", labradoodle="dog") == OTHERS - ANIMALS


def test_an_unknown_word_that_is_near_nothing_leaves_out_nothing() -> None:
    assert held_against("theodolite") == OTHERS


def test_a_known_word_that_is_not_the_main_one_leaves_the_main_one_to_its_vector() -> None:
    near = {"labradoodle in a car": "cat"}
    assert held_against(*near, **near) == OTHERS - ANIMALS - {"car"}


@pytest.mark.parametrize(
    "prompt", ["catfish", "cartoon", "busy", "personal", "carpet", "boxer", "manhole", "hencoop"]
)
def test_a_word_within_a_word_is_not_that_word(prompt: str) -> None:
    assert held_against(prompt) == OTHERS


def test_of_several_prompts_each_leaves_out_its_own() -> None:
    assert held_against("dog", "cat") == OTHERS - {"dog", "cat"}
    assert held_against("dog", "labradoodle", labradoodle="cat") == OTHERS - ANIMALS


def test_no_rival_is_twice_and_each_is_as_it_will_be_compared() -> None:
    rivals = [rival for group in GROUPS for kind in group.kinds for rival in kind.rivals]
    assert len(rivals) == len({*rivals})
    assert tuple(rivals) == all_rivals()
    names = [name for group in GROUPS for kind in group.kinds for name in kind.names]
    for text in (*names, *itertools.chain(*(group.any for group in GROUPS))):
        assert " ".join(words(text)) == text.replace("-", " ")


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.rivals[0])
def test_every_word_of_a_kind_leaves_its_kind_out(group: Group) -> None:
    for kind in group.kinds:
        for name in kind.names:
            assert held_against(name).isdisjoint(kind.rivals), name
    for name in group.any:
        assert held_against(name).isdisjoint(group.rivals), name


def test_no_word_for_a_person_has_a_person_for_a_rival() -> None:
    (people,) = GROUPS[0].kinds
    for name in people.names:
        for phrase in (name, f"old {name} with a dog", f"{name} waving"):
            assert held_against(phrase).isdisjoint(PEOPLE), phrase
