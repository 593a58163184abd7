"""What is drawn of that which was found: who it is sure enough for, and how much of it."""

from __future__ import annotations

from streamwatch.geometry import Box
from streamwatch.live.marks import MOST_MARKS, Wanted, marks
from streamwatch.pictures.shots import Mark
from streamwatch.records import Detection
from streamwatch.watch.rules import Counting, Zones

SIZE = (640, 320)
BOX: Box = (64.0, 32.0, 320.0, 160.0)
SHARES: Box = (0.1, 0.1, 0.5, 0.5)
FAR: Box = (400.0, 200.0, 640.0, 320.0)


def found(prompt: str, confidence: float, box: Box = BOX) -> Detection:
    return Detection(prompt, confidence, box)


def wanted(watch: str, *prompts: str, above: float = 0.5, beat: tuple[str, ...] = ()) -> Wanted:
    return Wanted(watch, prompts, Counting(above, (0.0, 1.0), None, Zones({}, ())), beat)


def watches_of(made: tuple[Mark, ...]) -> list[tuple[str, tuple[str, ...]]]:
    return [(mark.prompt, mark.watches) for mark in made]


def test_a_box_is_in_shares_of_the_frame() -> None:
    (mark,) = marks([found("dog", 0.8)], [wanted("pets", "dog")], SIZE)
    assert mark == Mark("dog", 0.8, SHARES, ("pets",))
    (mark,) = marks([found("dog", 0.8, (0, 0, 640, 320))], [wanted("pets", "dog")], SIZE)
    assert mark.box == (0, 0, 1, 1)


def test_nothing_found_or_wanted_gives_no_marks() -> None:
    assert marks([], [wanted("pets", "dog")], SIZE) == ()
    assert marks([found("dog", 0.8)], [], SIZE) == ()


def test_what_no_watch_looks_for_is_left_out() -> None:
    asked = [wanted("pets", "dog", "cat"), wanted("cars", "car")]
    seen = [found("bus", 0.9), found("cat", 0.8), found("a dog", 0.7)]
    assert watches_of(marks(seen, asked, SIZE)) == [("cat", ("pets",))]


def test_a_weak_one_is_drawn_for_no_watch() -> None:
    asked = [wanted("pets", "dog", above=0.5)]
    assert watches_of(marks([found("dog", 0.5)], asked, SIZE)) == [("dog", ("pets",))]
    assert watches_of(marks([found("dog", 0.499)], asked, SIZE)) == [("dog", ())]


def test_it_is_told_which_watches_it_is_sure_enough_for() -> None:
    asked = [
        wanted("strict", "dog", above=0.9),
        wanted("pets", "cat", "dog", above=0.5),
        wanted("cars", "car", above=0.1),
        wanted("any", "dog", above=0.1),
    ]
    assert watches_of(marks([found("dog", 0.6)], asked, SIZE)) == [("dog", ("pets", "any"))]


def test_what_does_not_count_says_why() -> None:
    zones = Zones({"steps": ((0.8, 0.8), (1.0, 0.8), (1.0, 1.0))}, ())
    counting = Counting(0.5, (0.3, 1.0), frozenset({"steps"}), zones)
    asked = [Wanted("pets", ("dog",), counting, ("fox",))]
    seen = [found("dog", 0.4), found("fox", 0.8)]
    fox, dog = marks(seen, [*asked, wanted("foxes", "fox")], SIZE)
    assert dog.why == "0.40 is below 0.50; too small; outside zone steps; rather fox (0.80)"
    assert (dog.watches, fox.watches, fox.why) == ((), ("foxes",), "")


def test_a_surer_rival_in_the_same_place_beats_it() -> None:
    asked = [wanted("pets", "dog", above=0.5, beat=("fox",))]
    assert watches_of(marks([found("dog", 0.7), found("fox", 0.8)], asked, SIZE)) == [("dog", ())]


def test_a_rival_that_is_no_surer_does_not() -> None:
    asked = [wanted("pets", "dog", above=0.5, beat=("fox",))]
    for confidence in (0.7, 0.6):
        seen = [found("dog", 0.7), found("fox", confidence)]
        assert watches_of(marks(seen, asked, SIZE)) == [("dog", ("pets",))]


def test_a_rival_elsewhere_does_not() -> None:
    """From half of both together on it is the same thing."""
    asked = [wanted("pets", "dog", above=0.5, beat=("fox",))]
    box: Box = (0.0, 0.0, 100.0, 100.0)
    for rival, sure in (
        (FAR, True),
        ((0.0, 0.0, 100.0, 49.0), True),
        ((0.0, 0.0, 100.0, 51.0), False),
    ):
        seen = [found("dog", 0.7, box), found("fox", 0.8, rival)]
        assert watches_of(marks(seen, asked, SIZE)) == [("dog", ("pets",) if sure else ())]


def test_a_rival_beats_it_for_the_watch_that_names_it_alone() -> None:
    asked = [
        wanted("dogs", "dog", beat=("fox",)),
        wanted("pets", "dog", beat=("bear",)),
        wanted("foxes", "fox", beat=("dog",)),
    ]
    seen = [found("dog", 0.7), found("fox", 0.8), found("bear", 0.6)]
    assert watches_of(marks(seen, asked, SIZE)) == [("fox", ("foxes",)), ("dog", ("pets",))]


def test_the_surest_come_first() -> None:
    asked = [wanted("pets", "dog", "cat", above=0.5)]
    seen = [found("dog", 0.3), found("cat", 0.9, FAR), found("dog", 0.6), found("cat", 0.4)]
    made = marks(seen, asked, SIZE)
    assert [mark.confidence for mark in made] == [0.9, 0.6, 0.4, 0.3]


def test_so_many_are_drawn_and_the_weakest_left_out() -> None:
    seen = [found("dog", number / 1000) for number in range(MOST_MARKS + 20)]
    seen += [found("bus", 0.9)] * 5  # which takes no place
    made = marks(seen, [wanted("pets", "dog")], SIZE)
    assert len(made) == MOST_MARKS
    assert min(mark.confidence for mark in made) == 20 / 1000
