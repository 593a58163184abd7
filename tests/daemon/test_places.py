"""What waits for cameras and the text encoder is bounded."""

from __future__ import annotations

import pytest

from streamwatch.daemon.commands.places import Places
from streamwatch.errors import StreamwatchError


def test_a_place_that_was_left_can_be_taken_again() -> None:
    places = Places(3, of_one=2)
    for who in ("porch", "porch", "yard"):
        places.take(who)
    for who in ("porch", "yard", "gate"):
        with pytest.raises(StreamwatchError, match=r"^busy, try later$"):
            places.take(who)
    places.leave("yard")
    with pytest.raises(StreamwatchError):
        places.take("porch")
    places.take("gate")
