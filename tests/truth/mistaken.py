"""Scenes in which toybox takes one thing for another again and again.

The figures were measured with each scene as a clip of 15 fps (`Scene.write`), of which a camera
with `pace: false` analyses 5 fps, by toybox with the default rules: confidence 0.3, distractors,
three hits within 2 s. "New" is the confidence of the frame that caused the alert, "best" the
visit's highest. Noise of two other seeds moved single confidences by up to 0.1, and no alert.
"""

from __future__ import annotations

from tests.truth.scenes import Scene, Thing

PASS_SECONDS = 4.0
SITTING_SECONDS = 3.6


def _passing(name: str, height: float, start: float, y: float) -> Thing:
    """From right to left through the whole picture."""
    path = ((start, 700.0, y), (start + PASS_SECONDS, -60.0, y))
    return Thing(name, name, height, path)


def _sitting(name: str, height: float, start: float, x: float, y: float) -> Thing:
    return Thing(name, name, height, ((start, x, y), (start + SITTING_SECONDS, x, y)))


HAMSTER_WORDS = ("hamster", "cat")
"""Of two watches: one that is always wrong in `HAMSTER`, and one that is always right."""
HAMSTER = Scene(
    tuple(
        _passing("cat", height, 4.8 * number, y)
        for number, (height, y) in enumerate(
            ((50, 300), (48, 305), (44, 300), (46, 305), (52, 300), (50, 295))
        )
    ),
    seconds=29,
)
"""A cat passes six times, and no hamster is there; both watches tell each pass, on the same box.

`cat`: new 0.81 to 0.92, best 0.92 to 0.98. `hamster`: new 0.38 to 0.61, best 0.55 to 0.64. With
`second_look: require` the same twelve alerts come, each confirmed by its first look with a share of
1.00: no other animal is held against a "hamster".
"""

DOG_WORDS = ("dog",)
"""Of one watch, which is right and wrong in turn in `DOGS_AND_CATS`."""
DOGS_AND_CATS = Scene(
    tuple(
        thing
        for number, (cat, dog) in enumerate(
            (
                ((36, 512, 312), (42, 350)),
                ((38, 444, 312), (44, 348)),
                ((38, 308, 312), (46, 346)),
                ((38, 172, 300), (50, 350)),
                ((36, 274, 312), (48, 344)),
            )
        )
        for thing in (
            _sitting("cat", cat[0], 8.0 * number + 0.2, *cat[1:]),
            _passing("dog", dog[0], 8.0 * number + 4, dog[1]),
        )
    ),
    seconds=40.4,
)
"""Five times a small cat sits there, each at another place, and then a dog passes.

`dog` tells all ten. The dogs: new 0.78 to 0.92, best 0.89 to 0.97. The cats: new 0.30 to 0.37, best
0.35 to 0.44. With `second_look: require` it tells the dogs alone, with a share of 0.97 or more; the
cats have 0.00 and are rejected for "cat".
"""
