"""Asks a language model that sees, at any server that offers OpenAI's chat completions."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import httpx

from streamwatch import __version__
from streamwatch.config import bracketed, host_and_port, is_encrypted, mask_secrets_in
from streamwatch.errors import StreamwatchError
from streamwatch.second_look.replies import Answer, content_of, error_message, parsed, yes_or_no
from streamwatch.tls import client_context, problem

DEADLINE_SECONDS = 30.0
"""For the whole of an answer, from the host's name to the last byte."""

MOST_TOKENS = 1024
"""The answer takes ten at most, but some models think first and their thoughts count too. Those
take hundreds; on a machine that writes more than this within the deadline, a model that has not
come to an end by then goes round in circles."""

MOST_BYTES = 1_000_000
"""Of a server's answer. MOST_TOKENS of thoughts are some kilobytes."""

_LONGEST_ANSWER = 60
_LONGEST_ERROR = 200
"""Characters that are quoted in a message."""

_TEXT = (
    "{question}\n\nAnswer with one word: yes or no. The first picture shows what the question is "
    "about; it was cut out of the second picture, which is all that the camera sees."
)

_SCHEMA = {
    "type": "object",
    "properties": {"answer": {"type": "string", "enum": ["yes", "no"]}},
    "required": ["answer"],
    "additionalProperties": False,
}
_RESPONSE_FORMAT = {
    "type": "json_schema",
    "json_schema": {"name": "answer", "strict": True, "schema": _SCHEMA},
}
_NO_FORMAT = {400, 422, 501}
_NAMES_FORMAT = ("response_format", "json_schema", "grammar", "guided", "structured")
"""What servers call the form of an answer where they refuse it."""


class NoAnswer(StreamwatchError):  # noqa: N818 - reads as what happened
    """The language model could not be asked, or said neither yes nor no.

    Names its host and port, and holds no token and no password.
    """


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    location: str
    """Where a redirect leads; empty if it is none."""
    body: bytes


class LanguageModel:
    """One model at one server, whose `url` (validated, of HTTP) ends before `/chat/completions`.

    A login in the URL is sent where there is no `token`. Certificates are verified, redirects not
    followed, and proxies of the environment not used. Any threads may ask at the same time, but
    none in which an event loop runs; each question has a connection of its own, since hours may lie
    between two of them.
    """

    def __init__(
        self,
        url: str,
        model: str,
        token: str | None = None,
        deadline_seconds: float = DEADLINE_SECONDS,
    ) -> None:
        parts = urlsplit(url)
        host, port = host_and_port(parts)
        self._where = f"{bracketed(host)}:{port}"
        self._model = model
        self._deadline_seconds = deadline_seconds
        path = f"{parts.path.rstrip('/')}/chat/completions"
        netloc = parts.netloc.rpartition("@")[2]
        self._address = parts._replace(netloc=netloc, path=path, fragment="").geturl()
        authorization = _authorization(parts, token)
        self._headers = {
            "User-Agent": f"streamwatch/{__version__}",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "Connection": "close",
            "Content-Type": "application/json",
            **({"Authorization": authorization} if authorization else {}),
        }
        secrets = {token, parts.password, unquote(parts.password or "")}
        secrets.add(authorization.partition(" ")[2])
        self._secrets = sorted((text for text in secrets if text), key=len, reverse=True)
        self._context = _context(url)
        self._takes_format: bool | None = None
        """Whether the server knows `response_format`; None until it has answered."""
        self._lock = threading.Lock()
        """Guards what is below."""
        self._closed = False
        self._asking: set[asyncio.Task[Answer]] = set()

    def ask(self, question: str, crop: bytes, frame: bytes) -> Answer:
        """The answer about `crop`, which was cut out of `frame`; both are JPEGs.

        Blocks until the deadline at most. Raises NoAnswer, and nothing else.
        """
        failure: BaseException
        try:
            return self._run(_content(question, crop, frame))
        except NoAnswer:
            raise
        except (Exception, asyncio.CancelledError) as error:
            failure = error
        # Not within the `except`: the library's messages can hold the token.
        raise self._no_answer(self._reason(failure))

    def close(self) -> None:
        """Break off what is being asked, and ask no more; for any thread."""
        with self._lock:
            self._closed = True
            for task in self._asking:
                task.get_loop().call_soon_threadsafe(task.cancel)

    def _run(self, content: list[Mapping[str, Any]]) -> Answer:
        # asyncio.run would wait for a look-up of the host's name beyond the deadline.
        loop = asyncio.new_event_loop()
        try:
            task = loop.create_task(self._answer(content))
            with self._lock:
                self._asking.add(task)
                if self._closed:
                    task.cancel()
            try:
                return loop.run_until_complete(task)
            finally:
                with self._lock:
                    self._asking.remove(task)
                loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()

    async def _answer(self, content: list[Mapping[str, Any]]) -> Answer:
        async with (
            asyncio.timeout(self._deadline_seconds),
            # A transport and no client: that one would log the address.
            httpx.AsyncHTTPTransport(verify=self._context, trust_env=False) as transport,
        ):
            reply = await self._reply(transport, content)
        self._demand_success(reply)
        return self._understood(reply)

    async def _reply(
        self, transport: httpx.AsyncHTTPTransport, content: list[Mapping[str, Any]]
    ) -> _Reply:
        """The reply in the end: a server that refuses `response_format` is asked without it."""
        body = {
            "model": self._model,
            "messages": [{"role": "user", "content": content}],
            "temperature": 0,
            "max_tokens": MOST_TOKENS,
            "stream": False,
        }
        if self._takes_format is False:
            return await self._posted(transport, body)
        reply = await self._posted(transport, body | {"response_format": _RESPONSE_FORMAT})
        if _refuses_format(reply, first=self._takes_format is None):
            reply = await self._posted(transport, body)
            if httpx.codes.is_success(reply.status):
                self._takes_format = False
        elif httpx.codes.is_success(reply.status):
            self._takes_format = True
        return reply

    async def _posted(self, transport: httpx.AsyncHTTPTransport, body: Mapping[str, Any]) -> _Reply:
        lines: list[Any] = []

        async def keep(event: str, info: Mapping[str, Any]) -> None:
            if event == "connection.connect_tcp.complete":
                lines.append(info["return_value"])

        request = httpx.Request(
            "POST",
            self._address,
            headers=self._headers,
            content=json.dumps(body).encode(),
            extensions={"trace": keep},
        )
        received = bytearray()
        try:
            response = await transport.handle_async_request(request)
            async for part in response.aiter_raw():
                received += part
                if len(received) > MOST_BYTES:
                    raise self._no_answer(f"sent more than {MOST_BYTES:,} bytes")
        finally:
            for line in lines:  # the library leaves it open where a handshake is broken off
                await line.aclose()
        location = response.headers.get("Location", "")
        return _Reply(response.status_code, location, bytes(received))

    def _demand_success(self, reply: _Reply) -> None:
        status = reply.status
        if httpx.codes.is_success(status):
            return
        if httpx.codes.is_redirect(status):
            where = self._quoted(reply.location, _LONGEST_ERROR) or "another address"
            raise self._no_answer(f"redirects to {where} ({status}), which is not followed")
        if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            # Without the server's words, which repeat a part of the token with some.
            does = "refuses the token" if "Authorization" in self._headers else "asks for a token"
            raise self._no_answer(f"{does} ({status})")
        said = self._quoted(error_message(parsed(reply.body)), _LONGEST_ERROR)
        raise self._no_answer(f"{self._refusal(status)} ({status}){f': {said}' if said else ''}")

    def _refusal(self, status: int) -> str:
        if status == httpx.codes.NOT_FOUND:
            model = self._quoted(self._model, _LONGEST_ANSWER)
            path = self._quoted(urlsplit(self._address).path, _LONGEST_ERROR)
            return f"knows no model {model}, or has no page {path}"
        if status == httpx.codes.TOO_MANY_REQUESTS:
            return "has had too many requests"
        if status >= httpx.codes.INTERNAL_SERVER_ERROR:
            return "is in trouble"
        return "refuses the request"

    def _understood(self, reply: _Reply) -> Answer:
        found = parsed(reply.body)
        if found is None:
            raise self._no_answer("sent what is no JSON; does its URL end as it should, in /v1?")
        match found:
            case {"choices": [{"finish_reason": "length"}, *_]}:
                raise self._no_answer(f"did not come to an end within {MOST_TOKENS:,} tokens")
        said = content_of(found)
        if said is None:
            error = self._quoted(error_message(found), _LONGEST_ERROR)
            raise self._no_answer(f"sent JSON that holds no answer{f': {error}' if error else ''}")
        answer = yes_or_no(said)
        if answer is None:
            quoted = self._quoted(said, _LONGEST_ANSWER) or "nothing"
            raise self._no_answer(f"answered neither yes nor no: {quoted}")
        return answer

    def _no_answer(self, predicate: str) -> NoAnswer:
        return NoAnswer(f"the language model at {self._where} {predicate}")

    def _quoted(self, text: str, longest: int) -> str:
        """`text` in quotation marks, for messages; empty if nothing in it can be shown."""
        printable = "".join(char for char in text if char.isprintable() or char.isspace())
        shown = " ".join(printable.split())
        for secret in self._secrets:
            shown = shown.replace(secret, "***")
        shown = mask_secrets_in(shown)
        if not shown:
            return ""
        return f"'{shown if len(shown) <= longest else f'{shown[: longest - 1]}…'}'"

    def _reason(self, error: BaseException) -> str:
        """What stood in the way, as a predicate."""
        causes = list(_causes(error))
        if isinstance(error, asyncio.CancelledError):
            return "is not asked any more"
        if isinstance(error, TimeoutError):
            return f"gave no whole answer within {self._deadline_seconds:g} s"
        if isinstance(error, (httpx.LocalProtocolError, UnicodeEncodeError)):
            return "can't be asked: the token holds characters that can't be sent"
        if any(isinstance(cause, (socket.gaierror, UnicodeError)) for cause in causes):
            return "can't be reached: the host is unknown"
        if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
            return "can't be reached: nothing listens there (connection refused)"
        connecting = isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout))
        for cause in causes:
            if isinstance(cause, ssl.SSLError) or (
                connecting and isinstance(cause, ConnectionResetError)
            ):
                return problem(cause).text
        if connecting:
            return "can't be reached"
        if isinstance(error, (httpx.RemoteProtocolError, httpx.NetworkError)):
            return "breaks off the connection, or does not speak HTTP"
        return f"can't be asked ({type(error).__name__})"


def _authorization(parts: SplitResult, token: str | None) -> str:
    if token:
        return f"Bearer {token}"
    if parts.username is None:
        return ""
    login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return f"Basic {base64.b64encode(login.encode()).decode()}"


def _context(url: str) -> ssl.SSLContext:
    if is_encrypted(url):
        return client_context()
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # not used; httpx would read all authorities


def _content(question: str, crop: bytes, frame: bytes) -> list[Mapping[str, Any]]:
    return [
        {"type": "text", "text": _TEXT.format(question=question)},
        *(
            {
                "type": "image_url",
                "image_url": {"url": f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"},
            }
            for jpeg in (crop, frame)
        ),
    ]


def _refuses_format(reply: _Reply, *, first: bool) -> bool:
    """Whether the server refuses `response_format`, or `first`, when it may be that."""
    if reply.status not in _NO_FORMAT:
        return False
    said = reply.body.decode(errors="replace").lower()
    named = any(name in said for name in _NAMES_FORMAT)
    return named or (first and reply.status == httpx.codes.BAD_REQUEST)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what led to it; a host with several addresses has an error for each."""
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            for one in error.exceptions:
                yield from _causes(one)
        error = error.__cause__ or error.__context__
