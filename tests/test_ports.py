"""The ports that the tests give to servers."""

from __future__ import annotations

from contextlib import closing

from tests.parts import Ports, bound


def test_no_port_is_handed_out_twice() -> None:
    with closing(Ports()) as mine, closing(Ports()) as others:
        handed_out = [ports.next() for _ in range(150) for ports in (mine, others)]
    assert len(set(handed_out)) == 300


def test_a_port_that_somebody_has_is_left_out() -> None:
    with closing(Ports()) as ports, bound(ports.next() + 1) as taken:
        assert ports.next() == taken.getsockname()[1] + 1
