"""A service on loopback that answers as a test says."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# --- services --------------------------------------------------------------------------------------------------------


class Answering(BaseHTTPRequestHandler):
    """Answers every request, when ``behave`` has returned its status, body and whether it comes in chunks."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, body, chunked = self.server.behave(self.path)  # type: ignore[attr-defined]
        self.send_response(status)
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            body = b"%x\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (3, body[:3], len(body) - 3, body[3:])
        else:
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


class Quiet(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        pass


@contextmanager
def answering(behave: Callable[[str], tuple[int, bytes, bool]], secure: ssl.SSLContext | None = None) -> Iterator[str]:
    server = Quiet(("127.0.0.1", 0), Answering)
    if secure is not None:
        server.socket = secure.wrap_socket(server.socket, server_side=True)
    server.behave = behave  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http{'' if secure is None else 's'}://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


GOOD = (200, b'{"retcode":0,"retmsg":"","data":{"score":0.5},"flag":0}', False)
