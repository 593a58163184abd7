"""A language model is asked over real sockets, and what can go wrong is said in one sentence."""

from __future__ import annotations

import base64
import logging
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from streamwatch.second_look.language_model import MOST_BYTES, MOST_TOKENS, LanguageModel, NoAnswer
from tests.parts import free_port
from tests.parts.certificates import Authority, self_signed
from tests.parts.language_model import (
    Reply,
    drips,
    floods,
    refuses,
    says,
    sends,
    serving,
    silent,
    writes,
)

QUESTION = "Is this person wearing a {hard} hat?"
MODEL = "qwen2.5vl"
TOKEN = "sk-3141592653"
YES, NO = says('{"answer": "yes"}'), says('{"answer": "no"}')
NO_FORMAT = refuses(400, "response_format is not supported")


def jpeg(height: int, width: int) -> bytes:
    return bytes(cv2.imencode(".jpg", np.full((height, width, 3), 128, np.uint8))[1])


CROP, FRAME = jpeg(40, 20), jpeg(90, 160)


def ask(url: str, token: str | None = None, seconds: float = 20.0) -> str:
    return LanguageModel(url, MODEL, token, seconds).ask(QUESTION, CROP, FRAME)


def sentence(url: str, token: str | None = None, seconds: float = 20.0) -> str:
    """Why there is no answer, without the beginning that all have."""
    with pytest.raises(NoAnswer) as caught:
        ask(url, token, seconds)
    where = url.split("/")[2].rpartition("@")[2]
    beginning, found, rest = str(caught.value).partition(f"the language model at {where} ")
    assert found
    assert not beginning
    assert "\n" not in rest
    return rest


# --- answers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"answer": "yes"}', "yes"),
        ('{"answer": "no"}', "no"),
        (' {\n "answer" : "no"\n}\n', "no"),
        ('```json\n{"answer": "yes"}\n```', "yes"),
        ('```\n{"answer": "no"}\n```\n', "no"),
        ("yes", "yes"),
        ("No", "no"),
        ("YES.", "yes"),
        ("\n no.\n", "no"),
        ('"Yes"', "yes"),
        ("'no'.", "no"),
        ('"No."', "no"),
        ("“Yes”", "yes"),
        ("<think>No, there is\nno hat.</think>\n\nYes", "yes"),
        ('<think></think>{"answer": "no"}', "no"),
        ("There is no hat.\n</think>\n\nNo.", "no"),
        ([{"type": "text", "text": "yes"}], "yes"),
        ([{"type": "text", "text": '{"answer":'}, {"type": "text", "text": ' "no"}'}], "no"),
        ([{"type": "thinking", "text": "Yes."}, {"type": "text", "text": "no"}], "no"),
    ],
)
def test_an_answer_is_understood(content: object, expected: str) -> None:
    with serving(says(content)) as server:
        assert ask(server.url) == expected


NEITHER = "answered neither yes nor no: "


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("maybe", "'maybe'"),
        ("Yes, but no.", "'Yes, but no.'"),
        ("yes no", "'yes no'"),
        ("yes..", "'yes..'"),
        ("yes!", "'yes!'"),
        ("ye\u017f", "'ye\u017f'"),
        ("yessir", "'yessir'"),
        ("ja", "'ja'"),
        ("true", "'true'"),
        ("", "nothing"),
        (" \n\x00\x1b ", "nothing"),
        ("<think>yes", "'<think>yes'"),
        ("<think>yes</think>", "'<think>yes</think>'"),
        ("yes <think>no</think> or no", "'yes <think>no</think> or no'"),
        ('{"answer": "maybe"}', """'{"answer": "maybe"}'"""),
        ('{"answer": "Yes"}', """'{"answer": "Yes"}'"""),
        ('{"answer": true}', """'{"answer": true}'"""),
        ('{"answer": "no", "answer": "yes"}', """'{"answer": "no", "answer": "yes"}'"""),
        ('{"answer": "yes", "sure": 1}', """'{"answer": "yes", "sure": 1}'"""),
        ('{"reply": "yes"}', """'{"reply": "yes"}'"""),
        ('["yes"]', """'["yes"]'"""),
        ('[["answer", "yes"]]', """'[["answer", "yes"]]'"""),
        ("[" * 100_000, f"'{'[' * 59}…'"),
        ("a\x1b[31mb\n\n\u202ec\u2028d", "'a[31mb c d'"),
        ("The person " * 20, f"'{('The person ' * 20)[:59]}…'"),
        (f"Bearer {TOKEN}", "'Bearer ***'"),
        ([{"type": "image", "image": "yes"}], "nothing"),
        (["yes"], "nothing"),
        ([], "nothing"),
    ],
)
def test_all_else_is_no_answer(content: object, expected: str) -> None:
    with serving(says(content)) as server:
        assert sentence(server.url, TOKEN) == NEITHER + expected


# --- the request ---------------------------------------------------------------------------------


def picture(part: dict[str, Any]) -> tuple[int, int, int]:
    """Height, width and channels of a part of a message."""
    assert part["type"] == "image_url"
    head, _, content = part["image_url"]["url"].partition(",")
    assert head == "data:image/jpeg;base64"
    image = cv2.imdecode(np.frombuffer(base64.b64decode(content), np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    height, width, channels = image.shape
    return height, width, channels


def test_the_question_goes_out_with_the_crop_and_then_the_frame() -> None:
    with serving(YES) as server:
        ask(server.url)
        (asked,) = server.asked
    assert asked.path == "/v1/chat/completions"
    assert asked.headers["Content-Type"] == "application/json"
    assert "Authorization" not in asked.headers
    assert (asked.body["model"], asked.body["temperature"]) == (MODEL, 0)
    assert (asked.body["max_tokens"], asked.body["stream"]) == (MOST_TOKENS, False)
    (message,) = asked.body["messages"]
    text, crop, frame = message["content"]
    assert message["role"] == "user"
    assert text["type"] == "text"
    assert text["text"].startswith(f"{QUESTION}\n")
    assert (picture(crop), picture(frame)) == ((40, 20, 3), (90, 160, 3))
    assert asked.body["response_format"]["type"] == "json_schema"
    schema = asked.body["response_format"]["json_schema"]["schema"]
    assert schema["properties"] == {"answer": {"type": "string", "enum": ["yes", "no"]}}


@pytest.mark.parametrize(
    ("login", "token", "expected"),
    [
        ("", TOKEN, f"Bearer {TOKEN}"),
        ("me:s%40cret@", None, f"Basic {base64.b64encode(b'me:s@cret').decode()}"),
        ("me@", None, f"Basic {base64.b64encode(b'me:').decode()}"),
        ("me:s%40cret@", TOKEN, f"Bearer {TOKEN}"),
    ],
)
def test_the_token_goes_out_or_else_the_login(login: str, token: str | None, expected: str) -> None:
    with serving(YES) as server:
        ask(server.url.replace("//", f"//{login}"), token)
    assert server.asked[0].headers["Authorization"] == expected
    assert "@" not in server.asked[0].headers["Host"]


@pytest.mark.parametrize(
    ("end", "path"),
    [
        ("/", "/v1/chat/completions"),
        ("?api-version=2", "/v1/chat/completions?api-version=2"),
        ("#here", "/v1/chat/completions"),
    ],
)
def test_the_path_is_put_to_the_end_of_the_url(end: str, path: str) -> None:
    with serving(YES) as server:
        ask(server.url + end)
    assert server.asked[0].path == path


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    with serving(YES) as server:
        assert ask(server.url) == "yes"


def test_any_threads_may_ask_at_the_same_time() -> None:
    answers: list[str] = []
    with serving(YES) as server:
        model = LanguageModel(server.url, MODEL)
        threads = [
            threading.Thread(target=lambda: answers.append(model.ask(QUESTION, CROP, FRAME)))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == ["yes"] * 4


# --- servers without structured output -----------------------------------------------------------


def with_format(*replies: Reply, asks: int) -> list[bool]:
    """Whether each request of a model that is asked so often held a `response_format`."""
    with serving(*replies) as server:
        model = LanguageModel(server.url, MODEL)
        for _ in range(asks):
            try:
                model.ask(QUESTION, CROP, FRAME)
            except NoAnswer as error:
                assert "maybe" in str(error)  # noqa: PT017 - what else is said is a fault
        return ["response_format" in asked.body for asked in server.asked]


@pytest.mark.parametrize(
    "refusal",
    [
        NO_FORMAT,
        refuses(422, "json_schema: extra fields not permitted"),
        refuses(501, "Structured output is not implemented"),
        sends({"detail": "Failed to parse Grammar"}, 400),
        refuses(400, "bad request"),
        sends(b"<html>", 400),
    ],
)
def test_a_server_that_refuses_the_form_of_the_answer_is_asked_without_it_from_then_on(
    refusal: Reply,
) -> None:
    assert with_format(refusal, says("Yes."), asks=3) == [True, False, False, False]


def test_it_is_remembered_whatever_the_server_answers() -> None:
    assert with_format(NO_FORMAT, says("maybe"), asks=2) == [True, False, False]


def test_a_refusal_after_an_answer_with_the_form_is_another_fault() -> None:
    with serving(YES, refuses(400, "the picture is too large: maybe")) as server:
        model = LanguageModel(server.url, MODEL)
        model.ask(QUESTION, CROP, FRAME)
        with pytest.raises(NoAnswer, match=r"refuses the request \(400\): 'the picture is"):
            model.ask(QUESTION, CROP, FRAME)
        assert len(server.asked) == 2


def test_a_fault_that_stays_without_the_form_is_told_and_the_form_tried_again() -> None:
    too_large = refuses(400, "the picture is too large: maybe")
    assert with_format(too_large, too_large, YES, asks=2) == [True, False, True]


def test_another_fault_is_not_asked_again() -> None:
    with serving(refuses(500, "response_format"), YES) as server:
        assert sentence(server.url) == "is in trouble (500): 'response_format'"
        assert len(server.asked) == 1


# --- faults --------------------------------------------------------------------------------------

PULL = 'model "qwen2.5vl" not found, try pulling it first'
NO_JSON = "sent what is no JSON; does its URL end as it should, in /v1?"
NO_HTTP = "breaks off the connection, or does not speak HTTP"
NOWHERE = "sent JSON that holds no answer"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (refuses(401, f"no such token: {TOKEN}"), "refuses the token (401)"),
        (refuses(403, "no"), "refuses the token (403)"),
        (
            refuses(404, PULL),
            f"knows no model 'qwen2.5vl', or has no page '/v1/chat/completions' (404): '{PULL}'",
        ),
        (
            sends(b"404 page not found", 404),
            "knows no model 'qwen2.5vl', or has no page '/v1/chat/completions' (404)",
        ),
        (refuses(413, "too large"), "refuses the request (413): 'too large'"),
        (refuses(429, "slow down"), "has had too many requests (429): 'slow down'"),
        (refuses(500, "out of memory"), "is in trouble (500): 'out of memory'"),
        (sends({"error": "out of memory"}, 500), "is in trouble (500): 'out of memory'"),
        (sends({"message": f"{TOKEN}!\n\x07"}, 500), "is in trouble (500): '***!'"),
        (sends({"detail": "x" * 300}, 500), f"is in trouble (500): '{'x' * 199}…'"),
        (sends({"error": {"message": 5}}, 503), "is in trouble (503)"),
        (sends(b"\xff", 503), "is in trouble (503)"),
        (
            sends(b"", 301, Location="http://127.0.0.1:1/"),
            "redirects to 'http://127.0.0.1:1/' (301), which is not followed",
        ),
        (
            sends(b"", 302, Location="https://me:secret@example.com/?token=1"),
            "redirects to 'https://me:***@example.com/?token=***' (302), which is not followed",
        ),
        (sends(b"", 308), "redirects to another address (308), which is not followed"),
        (sends(b"<html>yes</html>"), NO_JSON),
        (sends(b"yes"), NO_JSON),
        (sends(b""), NO_JSON),
        (sends(b"\x80\x81"), NO_JSON),
        (sends(b"[" * 200_000), NO_JSON),
        (sends(b"1" * 10_000), NO_JSON),
        (sends(b"null"), NO_JSON),
        (sends("yes"), NOWHERE),
        (sends(["yes"]), NOWHERE),
        (sends({}), NOWHERE),
        (sends({"choices": []}), NOWHERE),
        (sends({"choices": "yes"}), NOWHERE),
        (sends({"choices": [None]}), NOWHERE),
        (sends({"choices": [{"message": None}]}), NOWHERE),
        (sends({"choices": [{"message": {}}]}), NOWHERE),
        (sends({"choices": [{"text": "yes"}]}), NOWHERE),
        (says(None), NOWHERE),
        (says({"answer": "yes"}), NOWHERE),
        (sends({"error": {"message": "no credit"}}), f"{NOWHERE}: 'no credit'"),
        (says("yes", "length"), "did not come to an end within 1,024 tokens"),
        (says(None, "length"), "did not come to an end within 1,024 tokens"),
        (sends(b" " * (MOST_BYTES + 1)), "sent more than 1,000,000 bytes"),
        (floods, "sent more than 1,000,000 bytes"),
        (writes(b""), NO_HTTP),
        (writes(b"yes\r\n\r\n"), NO_HTTP),
        (writes(HEAD.replace(b"\r\n\r\n", b"\r\nContent-Length: 9\r\n\r\n{}")), NO_HTTP),
        (writes(HEAD + b"x" * 10), NO_JSON),
        (writes(b"HTTP/1.1 200 OK\r\nA: " + b"x" * 200_000), NO_HTTP),
    ],
)
def test_a_fault_is_told(reply: Reply, expected: str) -> None:
    with serving(reply) as server:
        assert sentence(server.url, TOKEN) == expected


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_is_asked_for(status: int) -> None:
    with serving(refuses(status, "who are you?")) as server:
        assert sentence(server.url) == f"asks for a token ({status})"


@pytest.mark.parametrize(
    "reply",
    [
        silent,
        drips(b"HTTP/1.1 200 OK"),
        drips(b"HTTP/1.1 200 OK\r\n"),
        drips(HEAD),
        drips(HEAD + b'{"choices": ['),
    ],
)
def test_the_deadline_is_that_of_the_whole_answer(reply: Reply) -> None:
    with serving(reply) as server:
        assert sentence(server.url, seconds=0.5) == "gave no whole answer within 0.5 s"


def test_both_requests_have_one_deadline() -> None:
    with serving(NO_FORMAT, silent) as server:
        assert sentence(server.url, seconds=2) == "gave no whole answer within 2 s"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_server_that_accepts_and_says_nothing_is_given_up(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"{scheme}://127.0.0.1:{server.getsockname()[1]}/v1"
        assert sentence(url, seconds=0.5) == "gave no whole answer within 0.5 s"


def test_a_look_up_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: ended.wait())
    try:
        found = sentence("http://ollama:11434/v1", seconds=0.5)
    finally:
        ended.set()
    assert found == "gave no whole answer within 0.5 s"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_nothing_listens(host: str) -> None:
    expected = "can't be reached: nothing listens there (connection refused)"
    assert sentence(f"http://{host}:{free_port()}/v1") == expected


@pytest.mark.parametrize("host", ["no-such-host.invalid", "x" * 70, f"{'x' * 70}.example"])
def test_the_host_is_unknown(host: str) -> None:
    assert sentence(f"http://{host}:11434/v1") == "can't be reached: the host is unknown"


def test_the_default_port_is_named() -> None:
    with pytest.raises(NoAnswer, match=r"at no-such-host\.invalid:443 can't be reached"):
        ask("https://no-such-host.invalid/v1")


def test_an_address_of_ipv6_is_named_in_brackets(ipv6: str) -> None:
    assert sentence(f"http://[{ipv6}]:{free_port()}/v1").startswith("can't be reached")


@pytest.mark.parametrize("token", ["a\nb", "tokén", "\udcff"])
def test_a_token_that_cannot_be_sent_is_not_shown(token: str) -> None:
    with serving(YES) as server:
        expected = "can't be asked: the token holds characters that can't be sent"
        assert sentence(server.url, token) == expected


@pytest.mark.parametrize(
    "reply",
    [
        says("the password is s@cret, or s%40cret, or bWU6c0BjcmV0"),
        refuses(500, "the password is s@cret, or s%40cret, or bWU6c0BjcmV0"),
    ],
)
def test_a_password_is_not_shown(reply: Reply) -> None:
    with serving(reply) as server:
        url = server.url.replace("//", "//me:s%40cret@")
        assert sentence(url).endswith(": 'the password is ***, or ***, or ***'")


def test_no_token_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), serving(refuses(500, TOKEN), YES) as server:
        model = LanguageModel(server.url.replace("//", "//me:s%40cret@"), MODEL, TOKEN)
        with pytest.raises(NoAnswer):
            model.ask(QUESTION, CROP, FRAME)
        model.ask(QUESTION, CROP, FRAME)
    assert TOKEN not in caplog.text
    assert "cret" not in caplog.text


def test_no_error_of_a_library_stays_behind() -> None:
    with pytest.raises(NoAnswer) as caught:
        ask(f"http://127.0.0.1:{free_port()}/v1", TOKEN)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


# --- TLS -----------------------------------------------------------------------------------------


@pytest.fixture
def trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Authority:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
    return authority


def test_a_certificate_of_a_trusted_authority_is_accepted(trusted: Authority) -> None:
    with serving(NO, certificate=trusted.issue("language-model")) as server:
        assert ask(server.url, TOKEN) == "no"


def test_any_other_certificate_is_refused(trusted: Authority, tmp_path: Path) -> None:
    certificates = {
        "of an authority that is not trusted": self_signed(tmp_path, "other"),
        "that has expired": trusted.issue("expired-model", days=-1),
        "for another host name": trusted.issue("other-host", hosts=("example.com",)),
    }
    for which, certificate in certificates.items():
        with serving(YES, certificate=certificate) as server:
            assert sentence(server.url, TOKEN) == f"shows a certificate {which}"
        assert not server.asked


def closing(line: socket.socket) -> None:
    line.close()


def resetting(line: socket.socket) -> None:
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    line.close()


def plain(line: socket.socket) -> None:
    line.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    line.close()


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        (plain, "does not speak TLS on this port"),
        (closing, "closes the connection instead of speaking TLS"),
        (resetting, "closes the connection instead of speaking TLS"),
    ],
)
def test_a_server_without_tls_is_told(
    server: Callable[[socket.socket], None], expected: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            line, _ = listener.accept()
            line.recv(4096)
            server(line)

        thread = threading.Thread(target=serve)
        thread.start()
        found = sentence(f"https://127.0.0.1:{listener.getsockname()[1]}/v1")
        thread.join()
    assert found == expected


def test_a_server_with_tls_is_not_understood_without(trusted: Authority) -> None:
    with serving(YES, certificate=trusted.issue("language-model-tls")) as server:
        assert sentence(server.url.replace("https", "http")) == NO_HTTP


# --- closing -------------------------------------------------------------------------------------


def test_closing_breaks_off_what_is_asked() -> None:
    begun = threading.Event()
    said: list[str] = []

    def reply(request: Any) -> None:
        begun.set()
        silent(request)

    with serving(reply) as server:
        model = LanguageModel(server.url, MODEL)

        def asking() -> None:
            with pytest.raises(NoAnswer) as caught:
                model.ask(QUESTION, CROP, FRAME)
            said.append(str(caught.value))

        thread = threading.Thread(target=asking)
        thread.start()
        assert begun.wait(20)
        model.close()
        thread.join()
        assert said == [f"the language model at {server.where} is not asked any more"]


def test_nothing_is_asked_after_closing() -> None:
    with serving(YES) as server:
        model = LanguageModel(server.url, MODEL)
        model.close()
        model.close()
        with pytest.raises(NoAnswer, match="is not asked any more"):
            model.ask(QUESTION, CROP, FRAME)
        assert not server.asked
