"""Which texts a configuration needs to be encoded."""

from __future__ import annotations

from typing import Any

import pytest

from streamwatch.config import Config
from streamwatch.pipeline.texts import texts_of, texts_of_watch, words_of_looks
from streamwatch.second_look.kinds import all_rivals

ASK = {"ask": "Is it?", "url": "http://127.0.0.1:9/v1", "model": "seer"}


def config(**watch: Any) -> Config:
    return Config.model_validate(
        {
            "detector": {"model": "toybox", "distractors": False},
            "cameras": {"porch": {"url": "bundled:street"}},
            "watches": {"w": {"prompt": "dog", "not": "fox", **watch}},
        }
    )


@pytest.mark.parametrize(
    ("watch", "more"),
    [
        ({}, ()),
        ({"second_look": "off"}, ()),
        ({"second_look": ASK}, ()),
        ({"second_look": {"mode": "off", "against": "toy dog"}}, ()),
        ({"second_look": "note"}, all_rivals()),
        ({"second_look": {"against": ["toy dog", "cat"]}}, ("toy dog", *all_rivals())),
    ],
)
def test_words_are_compared_only_where_a_second_look_does(
    watch: dict[str, Any], more: tuple[str, ...]
) -> None:
    settings = config(**watch)
    assert set(words_of_looks(settings)) == set(more)
    assert set(texts_of_watch(settings.watches["w"])) == {"dog", "fox", *more}
    assert set(texts_of(settings)) == {"dog", "fox", *more}


def test_a_disabled_watch_needs_none() -> None:
    settings = config(second_look="require", enabled=False)
    assert words_of_looks(settings) == ()
    assert texts_of(settings) == ()
