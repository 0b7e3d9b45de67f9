"""A site whose accounts sign in: a provider of OpenID Connect on 127.0.0.1.

https://openid.net/specs/openid-connect-core-1_0.html. It gives everyone a code
at once, and answers with `claims`.
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt


class OtherSite(ThreadingHTTPServer):
    """The server, with the claims about who signs in next."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.claims: dict[str, Any] = {}
        self.challenges: list[str] = []  # PKCE, of the requests for a code


class _Answers(BaseHTTPRequestHandler):
    server: OtherSite

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path == "/.well-known/openid-configuration":
            names = {"authorization_endpoint": "authorize", "token_endpoint": "token"}
            names |= {"userinfo_endpoint": "userinfo", "jwks_uri": "keys"}
            pages = {name: f"{self.server.url}/{path}" for name, path in names.items()}
            self._send({"issuer": self.server.url, **pages})
        elif url.path == "/authorize":
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            self.server.challenges.append(query["code_challenge"])
            self.send_response(302)
            answer = urlencode({"code": "a-code", "state": query["state"]})
            self.send_header("Location", f"{query['redirect_uri']}?{answer}")
            self.end_headers()
        else:
            self._send(self.server.claims)

    def do_POST(self) -> None:
        """The token, which is sent from server to server: nobody verifies its signature."""
        self.rfile.read(int(self.headers["Content-Length"]))
        claims = {"iss": self.server.url, "aud": "refill", "exp": time.time() + 60, **self.server.claims}
        token = jwt.encode(claims, "a key of this test that is long enough", algorithm="HS256")
        self._send({"access_token": "a-token", "token_type": "Bearer", "id_token": token})

    def log_message(self, *_: Any) -> None:
        """Nothing: the lines would be between those of the tests."""

    def _send(self, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def running() -> Iterator[OtherSite]:
    """The site, until the block ends."""
    site = OtherSite()
    thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        site.shutdown()
        site.server_close()
        thread.join()


def settings_for(site: OtherSite, providers: dict[str, Any]) -> dict[str, Any]:
    """SOCIALACCOUNT_PROVIDERS with the address of the running site."""
    [app] = providers["openid_connect"]["APPS"]
    return {
        "openid_connect": {
            **providers["openid_connect"],
            "APPS": [{**app, "settings": {"server_url": site.url}}],
        }
    }
