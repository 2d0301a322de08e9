"""An admission webhook over HTTPS, in a thread of its own with the machine's time."""

import base64
import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tiphys.apiserver import pki
from tiphys.base.clock import RealClock


class HookServer:
    """Refuses objects of the name ``refuse``; ``bundle`` is what its certificate is checked with."""

    def __init__(self, directory: Path, refuse: str) -> None:
        files = pki.ensure(directory, pki.PkiOptions("hooks"), RealClock())
        self.bundle = base64.b64encode(Path(files.ca).read_bytes()).decode()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                review = json.loads(self.rfile.read(int(self.headers["content-length"])))
                request = review.pop("request")
                allowed = request["name"] != refuse
                answer = {"uid": request["uid"], "allowed": allowed, "status": {"message": "" if allowed else "no"}}
                data = json.dumps(review | {"response": answer}).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files.apiserver.cert, files.apiserver.key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_port

    def __enter__(self) -> "HookServer":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
