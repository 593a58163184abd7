"""The share of a watch's words, and what they are held against."""

from __future__ import annotations

import numpy as np
import pytest

from streamwatch.config import WatchSettings
from streamwatch.records import Vectors
from streamwatch.second_look.contrast import Contrast, contrast, words_for
from streamwatch.second_look.kinds import all_rivals

NEAR = 0.3


def watch(**keys: object) -> WatchSettings:
    return WatchSettings.model_validate({"prompt": "dog", "second_look": "require"} | keys)


def vectors_of(*words: str) -> dict[str, Vectors]:
    """Of all words, each at a right angle to the others."""
    every = dict.fromkeys((*words, *all_rivals()))
    return dict(zip(every, np.eye(512, dtype=np.float32), strict=False))


def held_against(settings: WatchSettings) -> Contrast:
    assert settings.look is not None
    words = (*settings.prompt, *settings.not_, *words_for([settings]))
    return contrast(
        settings.prompt, (*settings.not_, *settings.look.against), vectors_of(*words), NEAR
    )


def softmax(*logits: float) -> Vectors:
    weights = np.exp(np.array(logits))
    shares: Vectors = weights / weights.sum()
    return shares


def test_the_share_of_several_prompts_is_the_sum_of_theirs() -> None:
    words = Contrast(("dog", "cat"), ("fox", "car"), np.eye(4, 512, dtype=np.float32))
    image = np.array([0.4, 0.2, 0.8, 0.4] + [0.0] * 508, np.float32)
    share, beaten_by = words.share(image, 5)
    shares = softmax(2, 1, 4, 2)
    assert share == pytest.approx(shares[0] + shares[1], abs=1e-6)
    assert beaten_by == "fox"


def test_a_prompt_that_comes_first_is_beaten_by_nothing() -> None:
    words = Contrast(("dog", "cat"), ("fox",), np.eye(3, 512, dtype=np.float32))
    image = np.array([0.0, 1.0, 0.0] + [0.0] * 509, np.float32)
    share, beaten_by = words.share(image, 2)
    assert beaten_by is None
    assert share == pytest.approx(1 - softmax(0, 2, 0)[2])


def test_a_prompt_may_come_first_and_have_less_than_half() -> None:
    words = Contrast(("dog",), ("fox", "cat", "car"), np.eye(4, 512, dtype=np.float32))
    share, beaten_by = words.share(np.array([0.1] + [0.0] * 511, np.float32), 1)
    assert beaten_by is None
    assert share < 0.5


def test_an_image_narrower_than_the_texts_is_compared_with_their_beginning() -> None:
    words = Contrast(("dog",), ("fox",), np.eye(2, 512, dtype=np.float32))
    wide = np.array([0.6, 0.8] + [0.0] * 510, np.float32)
    assert words.share(wide[:384], 3) == words.share(wide, 3)


def test_a_large_scale_is_no_overflow() -> None:
    words = Contrast(("dog",), ("fox",), np.eye(2, 512, dtype=np.float32))
    assert words.share(np.array([1.0, 0.0], np.float32), 1e4) == (1.0, None)


def test_what_not_and_against_name_is_always_held_against_it() -> None:
    """Even what may mean the same, as common things that do are left out."""
    found = held_against(watch(**{"not": "husky", "second_look": {"against": ["puppy", "bench"]}}))
    assert found.prompts == ("dog",)
    assert found.rivals[:3] == ("husky", "puppy", "bench")
    assert {*found.rivals} == {"husky", "puppy", *all_rivals()} - {"dog"}


def test_a_word_that_stands_in_several_places_counts_once() -> None:
    found = held_against(watch(**{"not": "Cat", "second_look": {"against": ["CAT", "Fox"]}}))
    assert [word for word in found.rivals if word.lower() in ("cat", "fox")] == ["Cat", "Fox"]
    assert len(found.rivals) == len(all_rivals()) - 1


def test_each_word_has_its_own_vector() -> None:
    settings = watch(**{"prompt": ["dog", "husky"], "not": "fox"})
    found = held_against(settings)
    vectors = vectors_of("dog", "husky", "fox")
    expected = np.stack([vectors[word] for word in (*found.prompts, *found.rivals)])
    assert np.array_equal(found.vectors, expected)


def test_words_are_needed_only_for_looks_that_compare_words() -> None:
    ask = {"ask": "Is it wet?", "url": "http://127.0.0.1:11434/v1", "model": "m"}
    assert words_for([]) == ()
    assert words_for([watch(second_look="off"), watch(second_look=ask)]) == ()
    assert words_for([watch(second_look={"mode": "off", "against": "fox"})]) == ()
    looks = [watch(second_look={"against": ["husky", "cat"]}), watch(second_look="note")]
    assert words_for(looks) == ("husky", "cat", *(word for word in all_rivals() if word != "cat"))


@pytest.mark.parametrize(
    ("prompt", "own"),
    [
        ("intruder", ("intruder", "person", "woman", "child")),
        ("Strangers", ("Strangers", "person", "woman", "child")),
        ("person", ("person",)),
        ("postman", ("postman",)),
        ("intruder in red", ("intruder in red",)),
        ("dog", ("dog",)),
    ],
)
def test_who_somebody_is_is_shown_as_a_person(prompt: str, own: tuple[str, ...]) -> None:
    found = contrast((prompt,), ("ghost", "Man"), vectors_of(prompt, "ghost", "Man"), NEAR)
    assert found.prompts == own
    assert "ghost" in found.rivals
    assert "Man" in found.rivals, "what somebody wrote into against is a rival"
    assert set(found.rivals).isdisjoint(own)
    assert found.vectors.shape[0] == len(own) + len(found.rivals)
