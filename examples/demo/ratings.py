"""Ratings, an ordinary Python program: serves HTTP on loopback, calls the inventory by its name, knows no mesh."""
import json
import os
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Ratings(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body go out together; apart, the second waits for an acknowledgement that is 40 ms late (Nagle's algorithm).
    wbufsize = -1

    def do_GET(self):
        item = self.path.rsplit("/", 1)[-1]
        try:
            with urllib.request.urlopen(f"http://inventory.shop/items/{item}", timeout=5) as response:
                stock = json.load(response)["stock"]
            status, answer = 200, {"item": item, "stars": 1 + stock % 5}
        except (urllib.error.URLError, OSError) as error:
            status, answer = 502, {"error": str(error)}
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Ratings).serve_forever()
