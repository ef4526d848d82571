"""A program that knows nothing of the mesh: it serves HTTP on loopback and calls others by name."""
import json
import os
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class App(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        answer = {"path": self.path, "caller": self.headers.get("l5d-client-id")}
        if self.path == "/via-mesh":
            with urllib.request.urlopen("http://hello/", timeout=5) as response:
                answer["hello"] = response.read().decode().strip()
        body = (json.dumps(answer) + "\n").encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "8080"))), App).serve_forever()
