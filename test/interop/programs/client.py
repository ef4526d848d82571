"""HTTP as Python programs do it: through the proxy that the environment names, through one they know, and over TLS with an SVID."""
import hashlib
import http.client
import json
import ssl
import sys
import urllib.error
import urllib.request

(proxy, mesh_port, cert, key, roots) = sys.argv[1:6]
body = b"0123456789abcdef" * 65536


def urllib_get():
    with urllib.request.urlopen("http://echo.test/urllib?a=b", timeout=20) as answer:
        return json.load(answer)


def urllib_post():
    request = urllib.request.Request("http://echo.test/post", data=body, method="POST")
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


def urllib_unknown():
    try:
        urllib.request.urlopen("http://nobody.test/", timeout=20)
    except urllib.error.HTTPError as error:
        return {"status": error.code, "reason": error.headers["l5d-proxy-error"]}


def client_kept():
    """Three requests on one connection, the second with chunks."""
    host, port = proxy.split("//")[1].split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    answers = []
    for (method, parts) in (("GET", None), ("POST", iter([body[:1000], body[1000:]])), ("GET", None)):
        connection.request(method, "http://echo.test/kept", body=parts, encode_chunked=parts is not None)
        answers.append(json.load(connection.getresponse()))
    connection.close()
    return answers


def client_tls():
    context = ssl.create_default_context(cafile=roots)
    context.check_hostname = False
    context.load_cert_chain(cert, key)
    connection = http.client.HTTPSConnection("127.0.0.1", int(mesh_port), context=context, timeout=20)
    connection.request("GET", "/tls", headers={"Host": "echo.test"})
    answer = json.load(connection.getresponse())
    connection.close()
    return answer


print(json.dumps({
    "sha256": hashlib.sha256(body).hexdigest(),
    "get": urllib_get(),
    "post": urllib_post(),
    "unknown": urllib_unknown(),
    "kept": client_kept(),
    "tls": client_tls(),
}))
