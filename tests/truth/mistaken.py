"""Scenes in which toybox takes one thing for another again and again.

    scene, words = HAMSTER, HAMSTER_WORDS

What each docstring tells was measured with the scene as a clip of 15 fps (`Scene.write`) that a
camera analyses at 5 fps with `pace: false`, by toybox with the default rules: confidence 0.3,
distractors, three hits within 2 s. "New" is the confidence of the frame that caused the alert, and
"best" the visit's highest.
"""

from __future__ import annotations

from tests.truth.scenes import Scene, Thing

PASS_SECONDS = 4.0
_EDGES = (700.0, -60.0)


def _pass(name: str, sprite: str, height: float, start: float, y: float) -> Thing:
    """From right to left through the whole picture."""
    begin, end = _EDGES
    return Thing(name, sprite, height, ((start, begin, y), (start + PASS_SECONDS, end, y)))


HAMSTER_WORDS = ("hamster", "cat")
"""The watch that is wrong, and the one that is right: no hamster is in `HAMSTER`."""
HAMSTER = Scene(
    tuple(
        _pass("cat", "cat", height, 4.8 * number, y)
        for number, (height, y) in enumerate(
            ((50, 300), (48, 305), (44, 300), (46, 305), (52, 300), (50, 295))
        )
    ),
    seconds=29,
)
"""Six passes of a cat, each of which both watches of `HAMSTER_WORDS` tell, on the same box.

`cat`: new 0.81 to 0.92, best 0.92 to 0.98. `hamster`: new 0.38 to 0.61, best 0.55 to 0.64. With
`second_look: require` the same twelve alerts come: the first look confirms each, with a share of
0.96 or more for `cat` and 1.00 for `hamster`, since no animal is held against a "hamster".
"""
