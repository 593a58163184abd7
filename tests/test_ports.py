"""The ports that tests use for their servers."""

from __future__ import annotations

from contextlib import ExitStack, closing, suppress

from tests.parts import Ports, bound


def test_no_port_is_handed_out_twice() -> None:
    with closing(Ports()) as mine, closing(Ports()) as others:
        handed_out = [ports.next() for _ in range(150) for ports in (mine, others)]
    assert len(set(handed_out)) == 300


def test_ports_in_use_are_skipped() -> None:
    with closing(Ports()) as ports, ExitStack() as others:
        first = ports.next()
        following = range(first + 1, first + 20)
        for port in following:
            with suppress(OSError):  # another process has it already, which is as good
                others.enter_context(bound(port))
        assert ports.next() not in following
