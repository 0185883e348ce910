"""One HTTP connection that is kept open, on plain sockets with httptools' parser.

A client that takes longer for a request than the service does would be the limit where both share a machine: locust's
own (geventhttpclient) takes 90 us of CPU a request, this 54 us, bench.serve about as much. Blocking calls of the
standard library become gevent's where locust runs.
"""

from __future__ import annotations

import functools
import socket
import ssl
import time
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

import httptools

_PART = 1 << 18
_trust = functools.cache(ssl.create_default_context)  # the authorities that this machine trusts take long to read


class TooLateError(Exception):
    """The answer was not there in time."""


class Address(NamedTuple):
    """Where a service is: ``prefix`` is a path that stands before every other."""

    host: str
    port: int
    secure: bool
    prefix: str


def address(url: str) -> Address:
    """Read the address of a service.

    Raises ValueError where it is no http or https URL.
    """
    parts = urlsplit(url)
    plain = parts.scheme in ("http", "https") and parts.hostname and url.isascii() and " " not in url
    if not plain or parts.port == 0 or parts.query or parts.fragment or parts.username:
        raise ValueError("it must look like http://HOST:PORT")
    secure = parts.scheme == "https"
    return Address(parts.hostname or "", parts.port or (443 if secure else 80), secure, parts.path.rstrip("/"))


def as_sent(to: Address, method: str, path: str, body: bytes, token: str | None, headers: Sequence[str] = ()) -> bytes:
    """Return a request as it travels; ``headers`` are further lines of its head."""
    host = f"[{to.host}]" if ":" in to.host else to.host
    lines = [f"{method} {to.prefix}{path} HTTP/1.1", f"Host: {host}:{to.port}", "Accept: application/json", *headers]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


class Connection:
    """A connection that opens itself when it is needed; one request is on its way at a time."""

    def __init__(self, to: Address, timeout: float) -> None:
        self._to, self._timeout = to, timeout
        self._socket: socket.socket | None = None
        self._body = b""
        self._done = False
        self._keep = False
        self._began = False  # something of the present answer has come
        self._parser: httptools.HttpResponseParser

    def ask(self, request: bytes) -> tuple[int, bytes]:
        """Send a request and return the HTTP status and body of its answer.

        A connection that the service has closed since the last answer is opened again, once: where nothing of this
        answer came. Raises OSError where there is no connection or it breaks off, TooLateError where the answer takes
        longer than the time-out, and httptools.HttpParserError where it is no HTTP.
        """
        end = time.monotonic() + self._timeout
        kept = self._socket is not None
        try:
            try:
                return self._once(request, end)
            except (BrokenPipeError, ConnectionResetError):
                if not kept or self._began:
                    raise
                self.close()
                return self._once(request, end)
        except TimeoutError as error:
            self.close()
            raise TooLateError from error
        except BaseException:
            self.close()
            raise

    def _once(self, request: bytes, end: float) -> tuple[int, bytes]:
        self._body, self._done, self._keep, self._began = b"", False, False, False
        link = self._socket or self._open()
        link.sendall(request)
        while not self._done:
            left = end - time.monotonic()
            if left <= 0:  # a service that dribbles does not meet a time-out of the socket
                raise TimeoutError
            link.settimeout(left)
            part = link.recv(_PART)
            self._began = self._began or bool(part)
            if not part:
                if self._body and not self._keep:  # an answer without a length, which the connection's end ends
                    break
                raise ConnectionResetError
            self._parser.feed_data(part)
        status: int = self._parser.get_status_code()
        if not self._keep:
            self.close()
        return status, self._body

    def _open(self) -> socket.socket:
        link = socket.create_connection((self._to.host, self._to.port), timeout=self._timeout)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._to.secure:
            link = _trust().wrap_socket(link, server_hostname=self._to.host)
        self._socket, self._parser = link, httptools.HttpResponseParser(self)
        return link

    def on_headers_complete(self) -> None:
        """Note whether the connection is to be kept (called by the parser, which knows it now only)."""
        self._keep = self._parser.should_keep_alive()

    def on_body(self, part: bytes) -> None:
        """Take a part of the body (called by the parser)."""
        self._body = self._body + part if self._body else part

    def on_message_complete(self) -> None:
        """Note that the answer is there (called by the parser)."""
        self._done = True

    def close(self) -> None:
        """Close the connection, if it is open."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
