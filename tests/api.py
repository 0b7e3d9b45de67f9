"""A client of the REST API with an API key."""

from typing import Any

from django.test import Client

ALL_SCOPES = ("read", "spend", "manage")


class Api:
    """A client with a key: `api.post("charges", {...}, key="purchase-1")`."""

    def __init__(self, secret: str) -> None:
        self.secret = secret
        self.client = Client(headers={"authorization": f"Bearer {secret}"} if secret else {})

    def get(self, path: str, **query: Any) -> Any:
        return self.client.get(self._url(path), query)

    def post(self, path: str, body: Any = None, *, key: str | None = None, **headers: str) -> Any:
        return self._send("post", path, body, key, headers)

    def put(self, path: str, body: Any = None, *, key: str | None = None, **headers: str) -> Any:
        return self._send("put", path, body, key, headers)

    def patch(self, path: str, body: Any = None, *, key: str | None = None, **headers: str) -> Any:
        return self._send("patch", path, body, key, headers)

    def delete(self, path: str) -> Any:
        return self.client.delete(self._url(path))

    def _send(self, method: str, path: str, body: Any, key: str | None, headers: dict[str, str]) -> Any:
        if key is not None:
            headers["Idempotency-Key"] = key
        data = {} if body is None else body
        return getattr(self.client, method)(
            self._url(path), data=data, content_type="application/json", headers=headers
        )

    @staticmethod
    def _url(path: str) -> str:
        return path if path.startswith("/") else f"/api/v1/{path}"
