"""What strangers may ask of the page, and do to it: over real connections."""

from __future__ import annotations

import http.client
import json
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from pydantic import SecretStr
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from streamwatch.config import Edit, HttpSettings, Hunk, Preview
from streamwatch.daemon.page.answering import read_picture
from streamwatch.errors import ConfigError, Problem, StreamwatchError
from streamwatch.history.history import Wanted
from streamwatch.live.pictures import LivePictures
from streamwatch.pictures.shots import Mark, Shot
from streamwatch.web import connection
from streamwatch.web.app import Pages
from streamwatch.web.page.access import MOST_WRONG
from streamwatch.web.page.answers import Document, Trial, Viewer, Words
from streamwatch.web.page.looking import LARGEST_MESSAGE
from streamwatch.web.page.media import MOST_AT_ONCE
from streamwatch.web.page.site import LARGEST_BODY
from streamwatch.web.server import Listener
from tests.parts import free_port

pytestmark = pytest.mark.slow(seconds=20)

PATIENCE_SECONDS = 30.0
TOKEN = "open sesame"
ID = "01M8D3S91ETMMWGM13JKVKAH71"
GATED = (
    *("/", "/cameras/porch", "/cameras/porch/areas", "/words", "/alerts", f"/alerts/{ID}"),
    *("/near-misses", "/watches", "/watches/car", "/health", f"/pictures/{ID}.jpg"),
    *(f"/pictures/{ID}/crop.jpg", "/near-misses/a.jpg", "/nothing"),
    *(f"/clips/{ID}.mp4", f"/clips/{ID}.jpg"),
)
CHANGES = ("/edits/preview", "/edits", "/teach")
STATE: Document = {
    "version": "1", "config": "c.yaml", "uptime_s": 1.0, "model": "toybox", "outbox": 0,
    "broker": {"address": "localhost:1883", "connected": True}, "rss_bytes": 1, "problems": [],
    "detector": {"ms_p50": None, "ms_p95": None}, "latency_ms": {"p50": None, "p95": None},
    "notices": [], "second_looks": {"looks": 0}, "newest": None,
    "watches": {"car": {"title": "A car", "enabled": True}},
    "cameras": {"porch": {"title": "Porch", "status": "online", "problem": None, "age_s": 0.1,
                          "fps": 5.0, "wanted_fps": 5.0, "awake": "asleep", "open": []}},
}  # fmt: skip


class Answered:
    """Answers with a camera, a watch and the pictures of a folder; `asked` are the changes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[object] = []
        self.live = LivePictures(lambda *_: (), lambda _: None)

    @property
    def state(self) -> Document:
        return STATE

    def camera(self, name: str) -> Document | None:
        if name != "porch":
            return None
        return {"name": "porch", "title": "Porch", "enabled": True, "zones": {}, "ignore": [],
                "mask": [], "crop": None, "watches": []}  # fmt: skip

    def watches(self) -> list[Document]:
        return []

    def alerts(self, wanted: Wanted) -> list[Document]:
        self.asked.append(wanted)
        return []

    def alert(self, id: str) -> Document | None:
        return None

    def near_misses(self, camera: str | None, watch: str | None) -> list[Document]:
        return []

    def picture(self, id: str, *, crop: bool) -> bytes | None:
        self.asked.append(id)
        return read_picture(self.folder, f"{id}.jpg")

    def clip(self, id: str) -> Path | None:
        self.asked.append(id)
        return self.folder / f"{id}.mp4"

    def poster(self, id: str) -> bytes | None:
        self.asked.append(id)
        return read_picture(self.folder, f"{id}.jpg")

    def near_miss_picture(self, file: str) -> bytes | None:
        return read_picture(self.folder, file)

    def teach(self, id: str, *, right: bool) -> str:
        self.asked.append((id, right))
        return ""

    def preview(self, edit: Edit) -> Preview:
        if edit.name == "wrong":
            raise ConfigError([Problem("c.yaml", 3, 5, "watches.wrong.prompt", "is empty")])
        return Preview("f00", (Hunk(3, ("a: 1",), ("a: 2",)),))

    def apply(self, edit: Edit, seen: str) -> str:
        if seen != "f00":
            raise StreamwatchError("the file was changed meanwhile; look at the change again")
        self.asked.append(edit)
        return "watch car changed"

    def viewer(self, wake: Callable[[], None]) -> Viewer:
        return self.live.viewer(wake)

    def try_words(self, words: Words, give: Callable[[Shot | str], None]) -> Trial:
        raise StreamwatchError(f"{words.camera} is offline")


class Served:
    def __init__(self, folder: Path, **settings: Any) -> None:
        self.answers = Answered(folder)
        self.listener = Listener(
            HttpSettings(port=free_port(), token=SecretStr(TOKEN), **settings),
            Pages(
                lambda: (), lambda: True, lambda: b"", dict, lambda _: None, answers=self.answers
            ),
        )
        self.host = f"127.0.0.1:{self.listener.settings.port}"

    def ask(
        self,
        path: str,
        *,
        method: str = "GET",
        body: bytes | None = None,
        **headers: str,
    ) -> tuple[int, dict[str, str], str]:
        """Code, headers with names in lower case, text; `_` in a header's name is a dash."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        asking = http.client.HTTPConnection(self.host, timeout=PATIENCE_SECONDS)
        asking.putrequest(method, path, skip_host="host" in named)
        for name, value in named.items():
            asking.putheader(name, value)
        if body is not None:
            asking.putheader("Content-Length", str(len(body)))
        asking.endheaders(body)
        answer = asking.getresponse()
        text = answer.read().decode(errors="replace")
        asking.close()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, text

    def post(self, path: str, content: object, **headers: str) -> tuple[int, str]:
        own = {"origin": f"http://{self.host}", **headers}
        code, _, text = self.ask(path, method="POST", body=json.dumps(content).encode(), **own)
        return code, text

    def log_in(self, token: str = TOKEN, **headers: str) -> tuple[int, dict[str, str], str]:
        own = {"origin": f"http://{self.host}", **headers}
        body = urlencode({"token": token, "to": "/alerts"}).encode()
        return self.ask("/login", method="POST", body=body, **own)

    def cookie(self) -> str:
        return self.log_in()[1]["set-cookie"].partition(";")[0]

    def look(self, **headers: str) -> ClientConnection:
        own = {"Origin": f"http://{self.host}", **headers}
        return connect(
            f"ws://{self.host}/live",
            additional_headers={k: v for k, v in own.items() if k not in ("Origin", "Host")},
            origin=own["Origin"] or None,  # type: ignore[arg-type]
            open_timeout=PATIENCE_SECONDS,
            proxy=None,
        )

    def close(self) -> None:
        self.listener.close()
        self.answers.live.close()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    with ExitStack() as stack:

        def start(**settings: Any) -> Served:
            folder = tmp_path / "pictures"
            folder.mkdir(exist_ok=True)
            served = Served(folder, **settings)
            stack.callback(served.close)
            return served

        yield start


@pytest.fixture(autouse=True)
def nothing_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Else strangers would fill the log."""
    yield
    said = [record.getMessage() for record in caplog.get_records("call")
            if record.levelno >= logging.WARNING]  # fmt: skip
    assert not said


@pytest.fixture
def served(serve: Callable[..., Served]) -> Served:
    return serve()


# --- the token -----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", GATED)
def test_nothing_is_given_without_the_token(served: Served, path: str) -> None:
    code, _, text = served.ask(path)
    assert (code, text) == (
        401, "log in first, or send the token as Authorization: Bearer …\n",
    )  # fmt: skip
    code, headers, _ = served.ask(path, accept="text/html")
    assert code == 303
    assert headers["location"].startswith("/login?to=")
    assert not served.answers.asked


@pytest.mark.parametrize("path", [path for path in GATED if not path.endswith((".jpg", ".mp4"))])
def test_the_token_opens_all_of_it(served: Served, path: str) -> None:
    missing = ("/nothing", "/watches/car", f"/alerts/{ID}")
    wanted = 404 if path in missing else 200
    assert served.ask(path, authorization=f"Bearer {TOKEN}")[0] == wanted
    assert served.ask(path, cookie=served.cookie())[0] == wanted


@pytest.mark.parametrize("path", CHANGES)
def test_nothing_is_changed_without_the_token(served: Served, path: str) -> None:
    assert served.post(path, {})[0] == 401
    assert served.post(path, {}, cookie=f"streamwatch-{served.listener.settings.port}=x")[0] == 401
    assert not served.answers.asked


def test_a_login_leads_to_what_was_asked_for_and_never_elsewhere(served: Served) -> None:
    code, headers, _ = served.log_in()
    assert (code, headers["location"]) == (303, "/alerts")
    cookie = headers["set-cookie"].lower()
    assert {"httponly", "samesite=strict", "path=/"} <= set(cookie.split("; "))
    assert "secure" not in cookie
    for to in ("https://evil.example/", "//evil.example/", "/\\evil.example", "evil"):
        body = urlencode({"token": TOKEN, "to": to}).encode()
        origin = f"http://{served.host}"
        code, headers, _ = served.ask("/login", method="POST", body=body, origin=origin)
        assert (code, headers["location"]) == (303, "/")
    _, headers, _ = served.log_in(x_forwarded_proto="https")
    assert "; Secure" in headers["set-cookie"]


def test_whoever_tries_wrong_tokens_has_to_wait(served: Served) -> None:
    cookie = served.cookie()
    for _ in range(MOST_WRONG):
        code, _, text = served.log_in("wrong")
        assert code == 401
        assert "this is not the token" in text
    assert served.log_in()[0] == 429
    assert served.ask("/health", authorization=f"Bearer {TOKEN}")[0] == 429
    assert served.ask("/metrics", authorization=f"Bearer {TOKEN}")[0] == 429
    # Who has logged in before, and who watches over the daemon, notice nothing.
    assert served.ask("/health", cookie=cookie)[0] == 200
    assert served.ask("/healthz")[0] == 200


def test_a_session_tells_whether_it_lasts(served: Served) -> None:
    assert json.loads(served.ask("/session")[2]) == {"in": False}
    assert json.loads(served.ask("/session", cookie=served.cookie())[2]) == {"in": True}


def test_another_token_ends_all_sessions(serve: Callable[..., Served], tmp_path: Path) -> None:
    served = serve()
    cookie = served.cookie()
    settings = served.listener.settings.model_copy(update={"token": SecretStr("another")})
    served.listener.close()
    answers = Pages(lambda: (), lambda: True, lambda: b"", dict, lambda _: None,
                    answers=served.answers)  # fmt: skip
    served.listener = Listener(settings, answers)
    assert served.ask("/health", cookie=cookie)[0] == 401


# --- names: DNS rebinding ------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*GATED, "/login", "/session", "/static/page.css", "/live"])
@pytest.mark.parametrize("name", ["evil.example", "evil.example:8080", "localhost.evil.example"])
def test_under_a_strange_name_nothing_is_given(served: Served, path: str, name: str) -> None:
    code, _, text = served.ask(path, host=name, cookie=served.cookie())
    assert code == 421
    assert text.startswith(f"the page is not served under the name '{name.partition(':')[0]}'")


def test_addresses_localhost_and_configured_names_are_its_names(
    serve: Callable[..., Served],
) -> None:
    served = serve(hosts=["Cams.example.org"])
    for name in ("127.0.0.1", "[::1]:8080", "192.168.1.5", "localhost:1", "CAMS.example.org:443"):
        assert served.ask("/login", host=name)[0] == 200
    # Health and metrics are for programs, which know no names.
    for path in ("/healthz", "/readyz"):
        assert served.ask(path, host="evil.example")[0] == 200


# --- origins -------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*CHANGES, "/login", "/logout"])
@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "", "http://127.0.0.1:1", "http://localhost", "x"]
)
def test_no_other_page_changes_anything(served: Served, path: str, origin: str) -> None:
    code, text = served.post(path, {}, cookie=served.cookie(), origin=origin)
    assert (code, text) == (403, "this was not sent by the page itself, but from another one\n")
    assert not served.answers.asked


def test_without_an_origin_only_a_program_with_the_token_changes_something(
    served: Served,
) -> None:
    body = json.dumps({"id": ID, "is": "wrong"}).encode()
    refused = served.ask("/teach", method="POST", body=body, cookie=served.cookie())
    assert refused[0] == 403
    bearer = f"Bearer {TOKEN}"
    assert served.ask("/teach", method="POST", body=body, authorization=bearer)[0] == 200
    assert served.answers.asked == [(ID, False)]


def test_a_configured_name_is_an_origin_of_its_own(serve: Callable[..., Served]) -> None:
    """A proxy may send the page on under another name."""
    served = serve(hosts=["cams.example.org"])
    code, _ = served.post("/teach", {"id": ID, "is": "right"}, cookie=served.cookie(),
                          origin="https://cams.example.org")  # fmt: skip
    assert code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", ""])
def test_no_other_page_looks(served: Served, origin: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        served.look(Cookie=served.cookie(), Origin=origin)
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize(
    "lines",
    [
        "",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: x\r\nSec-WebSocket-Version: 99",
    ],
)
def test_half_a_handshake_is_answered_and_closed(served: Served, lines: str) -> None:
    host, port = served.host.split(":")
    with socket.create_connection((host, int(port)), PATIENCE_SECONDS) as client:
        asked = f"GET /live HTTP/1.1\r\nHost: {served.host}\r\nConnection: Upgrade\r\n"
        asked += f"Upgrade: websocket\r\nOrigin: http://{served.host}\r\n{lines}\r\n\r\n"
        client.sendall(asked.replace("\r\n\r\n\r\n", "\r\n\r\n").encode())
        answer = b""
        while received := client.recv(4096):
            answer += received
    assert answer.split()[1] in (b"400", b"401", b"426")


def test_nobody_looks_without_the_token(served: Served) -> None:
    with pytest.raises(InvalidStatus) as refused:
        served.look()
    assert refused.value.response.status_code == 401


# --- looking -------------------------------------------------------------------------------------


def test_one_who_looks_is_told_how_all_is(served: Served) -> None:
    with served.look(Cookie=served.cookie()) as looking:
        assert json.loads(looking.recv(PATIENCE_SECONDS)) == {"state": STATE}
        looking.send(json.dumps({"words": {"camera": "porch", "prompts": ["cat"]}}))
        assert json.loads(looking.recv(PATIENCE_SECONDS)) == {"trial": "porch is offline"}


@pytest.mark.parametrize(
    "nonsense",
    ["", "{", "[" * 5000, "[]", "7", '{"look": 7}', '{"look": {"a": "b"}}', '{"look": {"a": NaN}}',
     '{"look": {"a": 1e999}}', '{"next": {}}', '{"words": []}', '{"words": {"prompts": 7}}',
     '{"words": {"camera": [], "prompts": [{}], "width": "x"}}', '{"more": 1}', '{"x": 1}'],
)  # fmt: skip
def test_nonsense_harms_nobody(served: Served, nonsense: str) -> None:
    with served.look(Cookie=served.cookie()) as looking:
        looking.recv(PATIENCE_SECONDS)
        looking.send(nonsense)
        looking.send(json.dumps({"words": {"camera": "yard", "prompts": ["cat"]}}))
        while json.loads(looking.recv(PATIENCE_SECONDS)) != {"trial": "yard is offline"}:
            pass


def test_what_is_no_text_harms_nobody(served: Served) -> None:
    with served.look(Cookie=served.cookie()) as looking:
        looking.recv(PATIENCE_SECONDS)
        looking.send(b"\x00\xff")
        looking.send(json.dumps({"words": {"camera": "yard", "prompts": ["cat"]}}))
        while json.loads(looking.recv(PATIENCE_SECONDS)) != {"trial": "yard is offline"}:
            pass


def test_nobody_looks_any_more_once_it_is_closed(served: Served) -> None:
    with served.look(Cookie=served.cookie()) as looking:
        looking.recv(PATIENCE_SECONDS)
        assert len(served.answers.live._viewers) == 1
        served.listener.close()
        assert not served.answers.live._viewers
        with pytest.raises(ConnectionClosed):
            list(looking)


def test_what_is_sent_has_bounds(served: Served) -> None:
    with served.look(Cookie=served.cookie()) as looking:
        looking.send("x" * (LARGEST_MESSAGE + 1))
        with pytest.raises(ConnectionClosed, match="1009"):
            list(looking)


def test_so_many_look_and_no_more(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamwatch.live.pictures.MOST_VIEWERS", 2)
    cookie = served.cookie()
    with served.look(Cookie=cookie) as one, served.look(Cookie=cookie) as other:
        assert "state" in json.loads(one.recv(PATIENCE_SECONDS))
        assert "state" in json.loads(other.recv(PATIENCE_SECONDS))
        with served.look(Cookie=cookie) as third:
            said = json.loads(third.recv(PATIENCE_SECONDS))
            assert said == {"problem": "2 look at the page already; close one of them"}
            with pytest.raises(ConnectionClosed):
                third.recv(PATIENCE_SECONDS)


def test_a_packed_picture_has_its_marks_before_it() -> None:
    from streamwatch.web.page.looking import packed

    shot = Shot("porch", datetime(2026, 1, 2, tzinfo=UTC), (640, 360),
                (Mark("red car", 0.5, (0.1, 0.2, 0.3, 0.4), ("car",)),), b"\xff\xd8")  # fmt: skip
    content = packed("live", shot)
    length = int.from_bytes(content[:4], "big")
    assert json.loads(content[4 : 4 + length]) == {
        "kind": "live", "camera": "porch", "at": "2026-01-02T00:00:00.000+00:00",
        "size": [640, 360],
        "marks": [{"prompt": "red car", "confidence": 0.5, "box": [0.1, 0.2, 0.3, 0.4],
                   "watches": ["car"], "why": ""}],
    }  # fmt: skip
    assert content[4 + length :] == b"\xff\xd8"


# --- paths ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/pictures/../secret.jpg",
        "/pictures/..%2fsecret.jpg",
        "/pictures/%2e%2e%2fsecret.jpg",
        "/pictures/..%5csecret.jpg",
        f"/pictures/{ID}%00.jpg",
        f"/pictures/{ID.lower()}.jpg",
        "/pictures//etc/passwd.jpg",
        "/near-misses/..%2fsecret.jpg",
        "/near-misses/%2fetc%2fpasswd",
        "/near-misses/.hidden.jpg",
        "/near-misses/link.jpg",
        "/near-misses/folder.jpg",
        "/near-misses/pipe.jpg",
        "/near-misses/notes.txt",
        "/static/..%2ftemplates%2fbase.html",
        "/static/../access.py",
        "/static/%2e%2e/site.py",
    ],
)
def test_no_path_leads_out_of_a_folder(served: Served, tmp_path: Path, path: str) -> None:
    folder = served.answers.folder
    for file in (tmp_path / "secret.jpg", folder / ".hidden.jpg", folder / "notes.txt"):
        file.write_bytes(b"secret")
    (folder / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    (folder / "folder.jpg").mkdir()
    os.mkfifo(folder / "pipe.jpg")
    code, _, text = served.ask(path, authorization=f"Bearer {TOKEN}")
    assert code == 404
    assert "secret" not in text


def test_a_picture_is_given_as_one(served: Served) -> None:
    (served.answers.folder / f"{ID}.jpg").write_bytes(b"\xff\xd8")
    code, headers, _ = served.ask(f"/pictures/{ID}.jpg", cookie=served.cookie())
    assert (code, headers["content-type"]) == (200, "image/jpeg")
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"


# --- headers, frames and prefixes ----------------------------------------------------------------


def test_no_script_but_its_own_runs_and_no_frame_shows_it(served: Served) -> None:
    for path in ("/login", "/static/live.js", "/nothing", "/"):
        _, headers, _ = served.ask(path)
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert policy.endswith("frame-ancestors 'none'")
        assert headers["x-frame-options"] == "DENY"
    pages = [served.ask(path, cookie=served.cookie())[2] for path in ("/", "/words", "/health")]
    for page in (*pages, served.ask("/login")[2]):
        assert "style=" not in page
        assert " onclick=" not in page
        assert "<script>" not in page


def test_configured_pages_may_show_it_in_a_frame(serve: Callable[..., Served]) -> None:
    served = serve(frame_ancestors=["http://homeassistant.local:8123/"])
    _, headers, _ = served.ask("/login")
    assert headers["content-security-policy"].endswith(
        "frame-ancestors http://homeassistant.local:8123"
    )
    assert "x-frame-options" not in headers


def test_under_a_prefix_all_addresses_have_it(serve: Callable[..., Served]) -> None:
    """Whether the proxy takes it away or not."""
    served = serve(root_path="/cams")
    for prefix in ("", "/cams"):
        code, headers, text = served.ask(f"{prefix}/login")
        assert code == 200
        assert 'action="/cams/login"' in text
        assert 'href="/cams/static/page.css?' in text
        assert served.ask(f"{prefix}/healthz")[0] == 200
        code, headers, _ = served.ask(f"{prefix}/health", accept="text/html")
        assert (code, headers["location"]) == (303, "/cams/login?to=/health")
    code, headers, _ = served.log_in()
    assert headers["location"] == "/cams/alerts"
    assert "Path=/cams;" in headers["set-cookie"]
    assert served.ask("/camsnot/login")[0] == 401


# --- changes -------------------------------------------------------------------------------------


def test_a_change_is_shown_and_then_made_once_it_was_seen(served: Served) -> None:
    cookie = served.cookie()
    edit = {"section": "watches", "name": "car", "set": {"prompt": "red car"}}
    code, text = served.post("/edits/preview", edit, cookie=cookie)
    assert (code, json.loads(text)) == (
        200,
        {"of": "f00", "hunks": [{"line": 3, "before": ["a: 1"], "after": ["a: 2"]}]},
    )
    code, text = served.post("/edits", edit, cookie=cookie)
    assert code == 422
    assert "the file was changed meanwhile" in text
    assert not served.answers.asked
    code, text = served.post("/edits", {**edit, "seen": "f00"}, cookie=cookie)
    assert (code, json.loads(text)) == (200, {"done": "watch car changed"})
    assert len(served.answers.asked) == 1


def test_mistakes_are_told_as_check_does_with_their_place(served: Served) -> None:
    edit = {"section": "watches", "name": "wrong", "set": {"prompt": ""}}
    code, text = served.post("/edits/preview", edit, cookie=served.cookie())
    assert (code, json.loads(text)) == (
        422,
        {"problems": [{"path": "watches.wrong.prompt", "message": "is empty",
                       "said": "c.yaml:3:5: watches.wrong.prompt: is empty"}]},
    )  # fmt: skip


def test_without_edits_it_only_shows(serve: Callable[..., Served]) -> None:
    served = serve(edits=False)
    cookie = served.cookie()
    for path in CHANGES:
        code, text = served.post(path, {"id": ID, "is": "right"}, cookie=cookie)
        assert code == 403
        assert "http.edits is false" in text
    assert not served.answers.asked
    page = served.ask("/cameras/porch", cookie=cookie)[2]
    assert "New zone" not in page
    assert "Save" not in page


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"id": 7}', b'{"id": "x", "is": []}'])
def test_a_vote_that_is_none_is_told(served: Served, body: bytes) -> None:
    code, _, text = served.ask("/teach", method="POST", body=body, authorization=f"Bearer {TOKEN}")
    assert code == 422
    assert "write" in text


def test_a_body_has_bounds(served: Served) -> None:
    bearer = f"Bearer {TOKEN}"
    largest = b" " * LARGEST_BODY
    assert served.ask("/teach", method="POST", body=largest, authorization=bearer)[0] == 422
    more = b" " * (LARGEST_BODY + 1)
    assert served.ask("/teach", method="POST", body=more, authorization=bearer)[0] == 413


# --- clips ---------------------------------------------------------------------------------------


CLIP = bytes(range(256)) * 20_000
CLIP_PATH = f"/clips/{ID}.mp4"


@pytest.fixture
def clip(served: Served) -> Path:
    path = served.answers.folder / f"{ID}.mp4"
    path.write_bytes(CLIP)
    return path


def fetch(served: Served, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    asking = http.client.HTTPConnection(served.host, timeout=PATIENCE_SECONDS)
    asking.request(method, CLIP_PATH, headers={"Authorization": f"Bearer {TOKEN}", **headers})
    answer = asking.getresponse()
    content = answer.read()
    asking.close()
    return answer.status, {k.lower(): v for k, v in answer.getheaders()}, content


def test_a_clip_is_given_as_a_whole(served: Served, clip: Path) -> None:
    code, headers, content = fetch(served)
    assert (code, content) == (200, CLIP)
    assert (headers["content-type"], headers["accept-ranges"]) == ("video/mp4", "bytes")
    code, headers, content = fetch(served, "HEAD")
    assert (code, content, headers["content-length"]) == (200, b"", str(len(CLIP)))
    clip.unlink()
    code, _, content = fetch(served)
    assert (code, content) == (404, b"there is no such clip any more\n")


@pytest.mark.parametrize(
    ("wanted", "start", "end"),
    [
        ("bytes=0-1", 0, 2),
        ("bytes=100-299", 100, 300),
        ("bytes=0-", 0, MOST_AT_ONCE),
        ("bytes=1000-99999999999", 1000, 1000 + MOST_AT_ONCE),
        (f"bytes={len(CLIP) - 10}-", len(CLIP) - 10, len(CLIP)),
        ("bytes=-7", len(CLIP) - 7, len(CLIP)),
        ("bytes=-99999999999", 0, MOST_AT_ONCE),
    ],
)
def test_a_player_gets_the_part_that_it_asks_for(
    served: Served, clip: Path, wanted: str, start: int, end: int
) -> None:
    code, headers, content = fetch(served, Range=wanted)
    assert (code, content) == (206, CLIP[start:end])
    assert headers["content-range"] == f"bytes {start}-{end - 1}/{len(CLIP)}"


@pytest.mark.parametrize("wanted", [f"bytes={len(CLIP)}-", "bytes=9-8", "bytes=-0", "bytes=-"])
def test_a_part_that_there_is_not(served: Served, clip: Path, wanted: str) -> None:
    code, headers, content = fetch(served, Range=wanted)
    assert (code, content, headers["content-range"]) == (416, b"", f"bytes */{len(CLIP)}")


@pytest.mark.parametrize("wanted", ["bytes=0-1,4-5", "lines=1-2", "bytes=a-b", "bytes=1", "9" * 99])
def test_what_is_no_range_gives_the_whole(served: Served, clip: Path, wanted: str) -> None:
    code, _, content = fetch(served, Range=wanted)
    assert (code, content) == (200, CLIP)


def test_a_player_notices_that_a_clip_is_another(served: Served, clip: Path) -> None:
    tag = fetch(served, Range="bytes=0-1")[1]["etag"]
    assert fetch(served, Range="bytes=2-3", **{"If-Range": tag})[0] == 206
    clip.write_bytes(CLIP[:-1])
    assert fetch(served, Range="bytes=2-3", **{"If-Range": tag})[::2] == (200, CLIP[:-1])


def test_a_link_is_no_clip(served: Served, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    (served.answers.folder / f"{ID}.mp4").symlink_to(tmp_path / "secret")
    assert fetch(served)[0] == 404


def test_who_reads_a_whole_clip_slowly_gets_it_all(
    served: Served, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though it takes longer than an answer may: as long as it goes on reading."""
    monkeypatch.setattr(connection, "ANSWER_SECONDS", 1.0)
    with socket.create_connection(("127.0.0.1", served.listener.settings.port)) as asking:
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        head = f"GET {CLIP_PATH} HTTP/1.1\r\nHost: {served.host}\r\n"
        asking.sendall(f"{head}Authorization: Bearer {TOKEN}\r\n\r\n".encode())
        began, got = time.monotonic(), b""
        while chunk := asking.recv(200_000):
            got += chunk
            time.sleep(0.05)
    assert time.monotonic() - began > 1.2
    assert got.partition(b"\r\n\r\n")[2] == CLIP


def test_who_stops_reading_a_clip_is_sent_away(
    served: Served, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "ANSWER_SECONDS", 0.5)
    clip.write_bytes(CLIP * 4)
    with socket.create_connection(("127.0.0.1", served.listener.settings.port)) as asking:
        head = f"GET {CLIP_PATH} HTTP/1.1\r\nHost: {served.host}\r\n"
        asking.sendall(f"{head}Authorization: Bearer {TOKEN}\r\n\r\n".encode())
        time.sleep(2)
        got = 0
        with suppress(ConnectionResetError):
            while chunk := asking.recv(1_000_000):
                got += len(chunk)
    assert got < 4 * len(CLIP)


# --- no page -------------------------------------------------------------------------------------


def test_without_a_token_there_is_no_page_and_a_sentence_says_so(tmp_path: Path) -> None:
    answers = Answered(tmp_path)
    pages = Pages(lambda: (), lambda: True, lambda: b"", dict, lambda _: None, answers=answers)
    listener = Listener(HttpSettings(port=free_port()), pages)
    try:
        asking = http.client.HTTPConnection("127.0.0.1", listener.settings.port)
        asking.request("GET", "/")
        answer = asking.getresponse()
        assert (answer.status, answer.read().decode()) == (
            404,
            "there are /healthz, /readyz and /metrics; a page to look at comes with http.token in"
            " the configuration file\n",
        )
        asking.close()
    finally:
        listener.close()


def test_page_false_serves_none(serve: Callable[..., Served]) -> None:
    served = serve(page=False)
    for path in ("/", "/login", "/live", "/static/page.css"):
        assert served.ask(path, authorization=f"Bearer {TOKEN}")[0] == 404
