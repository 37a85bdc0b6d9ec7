"""urllib against a broker's HTTP listener: with_urllib.py HOST PORT VERSION, where VERSION is 1.1."""

import sys
from http.client import HTTPConnection
from urllib.error import HTTPError
from urllib.request import Request, urlopen

HOST, PORT, VERSION = sys.argv[1], int(sys.argv[2]), sys.argv[3]
WAIT = 20


def ask(path, method="GET", data=None):
    request = Request(f"http://{HOST}:{PORT}{path}", data=data, method=method)
    try:
        with urlopen(request, timeout=WAIT) as answer:
            return answer.status, answer.headers, answer.read()
    except HTTPError as error:
        return error.code, error.headers, error.read()


def well():
    for path in ("/healthz", "/readyz"):
        status, _, body = ask(path)
        assert (status, body) == (200, b"ok\n"), (path, status, body)


def nothing_else_is_there():
    for path in ("/", "/metrics/", "/metric", "/api/v1/clients", "/../etc/passwd", "/%00", "//"):
        for method in ("GET", "POST", "DELETE"):
            status, _, body = ask(path, method)
            assert status == 404 and 0 < len(body) < 100, (path, method, status, body)


def other_methods_are_refused():
    for path in ("/metrics", "/healthz", "/readyz"):
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"):
            status, headers, body = ask(path, method, b"x" * 1000)
            assert status == 405 and 0 < len(body) < 100, (path, method, status, body)
            assert headers["Allow"] == "GET,HEAD", headers


def head_has_no_body():
    for path in ("/metrics", "/healthz", "/readyz"):
        status, headers, body = ask(path, "HEAD")
        assert (status, body) == (200, b""), (path, status, body)
        assert int(headers["Content-Length"]) > 0, headers


def connection_serves_one_request_after_the_other():
    connection = HTTPConnection(HOST, PORT, timeout=WAIT)
    for path, status in (("/healthz", 200), ("/nothing", 404), ("/metrics", 200), ("/readyz", 200)):
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        assert (answer.status, answer.will_close) == (status, False), (path, answer.status)
    connection.close()


well()
nothing_else_is_there()
other_methods_are_refused()
head_has_no_body()
connection_serves_one_request_after_the_other()
print(f"OK urllib {VERSION}")
