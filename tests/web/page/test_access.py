"""Who is let in: names of the host, origins, tokens, how often they may be wrong, sessions."""

from __future__ import annotations

from typing import Any

import pytest

from streamwatch.config import HttpSettings
from streamwatch.web.page import access
from streamwatch.web.page.access import (
    LONGEST,
    MOST_WRONG,
    SESSION_SECONDS,
    WRONG_SECONDS,
    Access,
    Refused,
    client_of,
)
from tests.publisher.running import Clock

TOKEN = "a long secret, with an ä"
WRONG = Refused(401, "this is not the token; it is http.token in the configuration file")
TOO_MANY = Refused(429, "there were too many wrong tokens; wait a minute")
NO_BEARER = Refused(401, "a token is needed: Authorization: Bearer …")
FROM_ELSEWHERE = Refused(403, "this was not sent by the page itself, but from another one")
HERE = "192.168.1.5:8080"


class Door:
    """An `Access` with clocks that tests advance."""

    def __init__(self, **settings: Any) -> None:
        self.clock = Clock()
        """Monotonic, and the time of day too."""
        fields = {"token": TOKEN, "hosts": ["cams.example.org", "CAMS"], **settings}
        self.access = Access(
            HttpSettings.model_validate(fields), seconds=self.clock, now=self.clock
        )

    def guess(self, client: str, times: int = 1) -> list[Refused | None]:
        """What is said to wrong tokens of this address."""
        return [self.access.try_token(client, f"wrong {number}") for number in range(times)]

    def lets_in(self, client: str) -> bool:
        return self.access.try_token(client, TOKEN) is None


@pytest.fixture
def door() -> Door:
    return Door()


# --- names of the host ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1:8080",
        "192.168.1.5:443",
        "192.168.1.5:",
        "127.0.0.1.",
        "[::1]",
        "[::1]:8080",
        "[FE80::1]:8080",
        "[fe80::1%eth0]:8080",
        "[::ffff:10.0.0.2]",
        "localhost",
        "localhost:8080",
        "LocalHost:8080",
        "localhost.",
        "cams.example.org",
        "cams.example.org:8443",
        "Cams.EXAMPLE.org",
        "cams.example.org.",
        "cams.example.org.:8080",
        "cams",
    ],
)
def test_the_page_is_served_under_addresses_localhost_and_names_of_the_file(
    door: Door, host: str
) -> None:
    assert door.access.host_problem(host) is None


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("evil.example", " 'evil.example'"),
        ("Evil.Example:8080", " 'evil.example'"),
        ("example.org", " 'example.org'"),
        ("www.cams.example.org", " 'www.cams.example.org'"),
        ("cams.example.org.evil.example", " 'cams.example.org.evil.example'"),
        ("localhost.evil.example", " 'localhost.evil.example'"),
        ("127.0.0.1.evil.example", " '127.0.0.1.evil.example'"),
        ("127.0.0.1.nip.io", " '127.0.0.1.nip.io'"),
        ("127.1", " '127.1'"),
        ("2130706433", " '2130706433'"),
        ("0x7f.0.0.1", " '0x7f.0.0.1'"),
        ("localhost\\evil", " 'localhost\\\\evil'"),
        ("ä.example.org", " 'ä.example.org'"),
        ("a" * 300, f" '{'a' * 100}'"),
        (".", ""),
        ("..", ""),
        (None, ""),
        ("", ""),
        (":8080", ""),
        ("::1", ""),
        ("[::1", ""),
        ("::1]", ""),
        ("[]", ""),
        ("[localhost]", ""),
        ("[127.0.0.1]", ""),
        ("evil.example[::1]", ""),
        ("[::1].evil.example", ""),
        ("[::1]evil.example:80", ""),
        ("[::1][::1]", ""),
        ("localhost:http", ""),
        ("localhost:99999", ""),
        ("localhost:80:80", ""),
        ("localhost:\uff18\uff10", ""),
        ("localhost/", ""),
        ("localhost/evil", ""),
        ("localhost?evil", ""),
        ("localhost#evil", ""),
        ("http://localhost", ""),
        ("me@localhost", ""),
        ("localhost@evil.example", ""),
        ("evil.example:80@localhost", ""),
        ("localhost\t", ""),
        ("local\nhost", ""),
        ("localhost:" + "0" * LONGEST, ""),
    ],
)
def test_it_is_not_served_under_other_names(door: Door, host: str | None, shown: str) -> None:
    assert door.access.host_problem(host) == Refused(
        421, f"the page is not served under the name{shown}; add it to http.hosts in the file"
    )


def test_without_hosts_no_name_but_localhost_is_good() -> None:
    access = Door(hosts=[]).access
    assert access.host_problem("localhost") is None
    assert access.host_problem("10.0.0.1") is None
    assert access.host_problem("cams") is not None


# --- origins --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://192.168.1.5:8080", HERE),
        ("https://192.168.1.5:8080", HERE),
        ("http://localhost:8080", "LOCALHOST:8080"),
        ("http://[::1]:8080", "[::1]:8080"),
        ("http://cams.example.org:8080", "cams.example.org:8080"),
        # behind a proxy, which may give another host on
        ("https://cams.example.org", "cams.example.org"),
        ("https://cams.example.org", "127.0.0.1:8080"),
        ("https://cams.example.org:8443", "cams.example.org"),
        ("https://CAMS.example.org", HERE),
        ("http://cams", None),
    ],
)
def test_the_page_itself_may_change_something(door: Door, origin: str, host: str | None) -> None:
    assert door.access.origin_problem(origin, host) is None


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        (None, HERE),
        (None, None),
        ("", HERE),
        ("", ""),
        ("null", HERE),
        ("null", "null"),
        ("http://", ""),
        ("http://192.168.1.5", HERE),
        ("http://192.168.1.5:8081", HERE),
        ("http://192.168.1.6:8080", HERE),
        ("http://localhost:8080", "127.0.0.1:8080"),
        ("http://[::1]:8080", HERE),
        ("http://evil.example", HERE),
        ("http://evil.example", None),
        ("http://192.168.1.5:8080.evil.example", HERE),
        ("http://192.168.1.5:8080@evil.example", HERE),
        ("http://cams.example.org.evil.example", HERE),
        ("http://evil.example/cams.example.org", HERE),
        ("file://", HERE),
        ("file://192.168.1.5:8080", HERE),
        ("file:///etc/passwd", HERE),
        ("data:text/html,192.168.1.5:8080", HERE),
        ("data://192.168.1.5:8080", HERE),
        ("ftp://cams.example.org", HERE),
        ("chrome-extension://cams.example.org", HERE),
        ("//192.168.1.5:8080", HERE),
        ("192.168.1.5:8080", HERE),
        ("http://[::1", HERE),
        ("http://[192.168.1.5:8080]", HERE),
        ("http://" + "a" * LONGEST + "cams.example.org", HERE),
    ],
)
def test_other_pages_may_not(door: Door, origin: str | None, host: str | None) -> None:
    assert door.access.origin_problem(origin, host) == FROM_ELSEWHERE


# --- tokens ---------------------------------------------------------------------------------------


def test_the_right_token_lets_in(door: Door) -> None:
    assert door.access.try_token("10.0.0.1", TOKEN) is None


@pytest.mark.parametrize(
    "given",
    [
        *("", " ", "wrong", TOKEN[:-1], TOKEN + " ", " " + TOKEN, TOKEN.upper(), TOKEN * 2),
        *("日本", "\0", TOKEN.replace("ä", "a\u0308"), TOKEN.encode().decode("latin-1")),
        pytest.param(TOKEN + "x" * 1_000_000, id="very long"),
    ],
)
def test_other_tokens_do_not(door: Door, given: str) -> None:
    assert door.access.try_token("10.0.0.1", given) == WRONG


@pytest.mark.parametrize("length", [LONGEST, LONGEST + 1, 4 * LONGEST])
def test_a_long_token_is_looked_at_as_a_whole(length: int) -> None:
    token = "ä" * length
    access = Door(token=token).access
    assert access.try_token("10.0.0.1", token) is None
    assert access.try_token("10.0.0.1", token + "x") == WRONG
    assert access.try_token("10.0.0.1", token[:-1]) == WRONG


def as_header(text: str) -> str:
    """As Starlette reads it."""
    return text.encode().decode("latin-1")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_bearer_lets_in(door: Door, scheme: str) -> None:
    assert door.access.try_bearer("10.0.0.1", as_header(f"{scheme} {TOKEN}")) is None


@pytest.mark.parametrize(
    ("header", "refused"),
    [
        *((header, NO_BEARER) for header in ("", "Bearer", "Bearer ", "Basic YTpi")),
        *((as_header(header), NO_BEARER) for header in (TOKEN, f"Token {TOKEN}", f" {TOKEN}")),
        *((header, WRONG) for header in ("Bearer x", f"Bearer {TOKEN}", "Bearer \xff\xfe")),
        (as_header(f"Bearer  {TOKEN}"), WRONG),
    ],
)
def test_other_headers_do_not(door: Door, header: str, refused: Refused) -> None:
    assert door.access.try_bearer("10.0.0.1", header) == refused


# --- how often a token may be wrong ---------------------------------------------------------------


def test_after_ten_wrong_tokens_not_even_the_right_one_lets_in(door: Door) -> None:
    assert door.guess("10.0.0.1", MOST_WRONG + 1) == [WRONG] * MOST_WRONG + [TOO_MANY]
    assert door.access.try_token("10.0.0.1", TOKEN) == TOO_MANY
    assert door.access.try_bearer("10.0.0.1", as_header(f"Bearer {TOKEN}")) == TOO_MANY


def test_headers_without_a_token_are_no_guesses(door: Door) -> None:
    for _ in range(2 * MOST_WRONG):
        assert door.access.try_bearer("10.0.0.1", "Basic YTpi") == NO_BEARER
    assert door.lets_in("10.0.0.1")


def test_the_right_token_is_no_guess_and_forgives_none(door: Door) -> None:
    for _ in range(2 * MOST_WRONG):
        assert door.lets_in("10.0.0.1")
    door.guess("10.0.0.1", MOST_WRONG - 1)
    assert door.lets_in("10.0.0.1")
    door.guess("10.0.0.1")
    assert not door.lets_in("10.0.0.1")


def test_it_is_over_after_a_minute(door: Door) -> None:
    door.guess("10.0.0.1", MOST_WRONG)
    door.clock.seconds += WRONG_SECONDS - 0.1
    assert not door.lets_in("10.0.0.1")
    door.clock.seconds += 0.1
    assert door.lets_in("10.0.0.1")
    assert door.guess("10.0.0.1", MOST_WRONG + 1) == [WRONG] * MOST_WRONG + [TOO_MANY]


def test_trying_meanwhile_makes_it_no_longer(door: Door) -> None:
    door.guess("10.0.0.1", MOST_WRONG)
    for _ in range(6):
        assert door.guess("10.0.0.1") == [TOO_MANY]
        door.clock.seconds += WRONG_SECONDS / 6
    assert door.lets_in("10.0.0.1")


def test_no_more_than_ten_are_wrong_in_any_minute(door: Door) -> None:
    door.guess("10.0.0.1")
    door.clock.seconds += WRONG_SECONDS / 2
    door.guess("10.0.0.1", MOST_WRONG - 1)
    assert not door.lets_in("10.0.0.1")
    door.clock.seconds += WRONG_SECONDS / 2
    assert door.guess("10.0.0.1", 2) == [WRONG, TOO_MANY]


@pytest.mark.parametrize(
    ("guessing", "other"),
    [
        ("10.0.0.1", "10.0.0.2"),
        ("10.0.0.1", ""),
        ("2001:db8:0:1::1", "2001:db8:0:2::1"),
        ("::ffff:10.0.0.1", "::ffff:10.0.0.2"),
    ],
)
def test_others_are_let_in_meanwhile(door: Door, guessing: str, other: str) -> None:
    door.guess(guessing, MOST_WRONG)
    assert not door.lets_in(guessing)
    assert door.lets_in(other)


@pytest.mark.parametrize(
    "clients",
    [
        [f"2001:db8:0:1::{number:x}" for number in range(1, 12)],
        [f"2001:db8:0:1:{number:x}::1" for number in range(1, 12)],
        [f"fe80::{number:x}%eth{number}" for number in range(1, 12)],
        ["::ffff:10.0.0.1", "10.0.0.1"] * 6,
        ["unix"] * 11,
        [""] * 11,
    ],
    ids=lambda clients: clients[0],
)
def test_addresses_of_one_client_count_together(door: Door, clients: list[str]) -> None:
    for client in clients[:MOST_WRONG]:
        assert door.guess(client) == [WRONG]
    assert not door.lets_in(clients[MOST_WRONG])


def test_so_many_addresses_are_remembered(monkeypatch: pytest.MonkeyPatch, door: Door) -> None:
    """Those that guessed last."""
    monkeypatch.setattr(access, "MOST_ADDRESSES", 4)
    for number in range(4):
        door.guess(f"10.0.0.{number}", MOST_WRONG - 1)
    door.guess("10.0.0.0")
    door.guess("10.0.0.9")
    assert not door.lets_in("10.0.0.0")
    assert door.guess("10.0.0.1", 2) == [WRONG, WRONG]  # it was forgotten
    assert door.guess("10.0.0.3", 2) == [WRONG, TOO_MANY]


def test_the_client_is_the_address_of_the_connection() -> None:
    assert client_of({"client": ("10.0.0.1", 4711)}) == "10.0.0.1"
    assert client_of({"client": None}) == ""
    assert client_of({}) == ""


# --- sessions -------------------------------------------------------------------------------------


def test_a_session_lasts_for_half_a_year(door: Door) -> None:
    session = door.access.session()
    assert door.access.knows(session)
    door.clock.seconds += SESSION_SECONDS - 1
    assert door.access.knows(session)
    door.clock.seconds += 1
    assert not door.access.knows(session)


def test_sessions_differ_and_survive_the_daemon(door: Door) -> None:
    one, other = door.access.session(), door.access.session()
    assert one != other
    again = Door().access
    assert again.knows(one)
    assert again.knows(other)


def test_a_session_holds_no_token_and_fits_into_a_cookie(door: Door) -> None:
    session = door.access.session()
    assert TOKEN not in session
    assert len(session) <= LONGEST
    assert session.isascii()
    assert not set(session) & set(' ",;\\')


def test_another_token_ends_all_sessions(door: Door) -> None:
    assert not Door(token=TOKEN + "!").access.knows(door.access.session())


def test_the_cookie_is_named_by_the_port() -> None:
    assert Door(port=8123).access.cookie == "streamwatch-8123"


@pytest.mark.parametrize("part", [0, 1, 2])
@pytest.mark.parametrize("change", ["longer", "shorter", "another", "empty", "of another session"])
def test_a_session_that_was_tampered_with_is_not_known(door: Door, part: int, change: str) -> None:
    session = door.access.session()
    door.clock.seconds += 1
    parts, others = session.split("."), door.access.session().split(".")
    last = parts[part][-1]
    parts[part] = {
        "longer": parts[part] + "0",
        "shorter": parts[part][:-1],
        "another": parts[part][:-1] + ("1" if last == "0" else "0"),
        "empty": "",
        "of another session": others[part],
    }[change]
    assert door.access.knows(session)
    assert not door.access.knows(".".join(parts))


@pytest.mark.parametrize(
    "nonsense",
    [
        *(None, "", ".", "..", "...", "a.b.c", "9999999999.x.", "9999999999..", "x" * 64),
        *("-1", "0", "é", "日本.日本.日本", "\ud800", "\0.\0.\0", "9" * (LONGEST + 1)),
    ],
    ids=ascii,
)
def test_nonsense_is_no_session(door: Door, nonsense: str | None) -> None:
    assert not door.access.knows(nonsense)


def test_a_session_with_something_around_it_is_not_known(door: Door) -> None:
    session = door.access.session()
    for changed in (f" {session}", f"{session} ", f".{session}", f"{session}.", session.upper(),
                    f"{session}é", session + "x" * LONGEST, session.replace(".", "")):  # fmt: skip
        assert not door.access.knows(changed)


def test_a_token_is_no_session(door: Door) -> None:
    assert not door.access.knows(TOKEN)
    assert not Door(token="1.1.1").access.knows("1.1.1")
