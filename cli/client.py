"""HTTP to control, with its errors as sentences."""

import http.client
import json
import ssl
import urllib.error
import urllib.request
import uuid
from typing import Any

from cli.errors import AUTHENTICATION, FAILED, CommandError

TIMEOUT = 90.0  # seconds; counts over years, and imports, are slow


class Refused(CommandError):
    """Control refused; `code` is its reason for programs."""

    def __init__(self, sentence: str, code: str, status: int = FAILED):
        super().__init__(sentence, status)
        self.code = code


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the key is for this host."""

    def redirect_request(self, *_: Any) -> None:
        """No redirect is followed."""
        return


class Control:
    """Control's API, with one key. Never through a proxy."""

    def __init__(self, url: str, key: str, tls: ssl.SSLContext | None = None):
        self.url = url
        self._key = key
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=tls),
            _Stay(),
        )

    def get(self, path: str) -> Any:
        """The JSON at a path. Raises CommandError."""
        return self._call("GET", path, None)

    def look(self, path: str) -> Any:
        """The JSON at a path, whatever its status.

        Raises CommandError where control does not answer.
        """
        try:
            with self._opener.open(self.url + path, timeout=TIMEOUT) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return _json_of(error)
        except (
            urllib.error.URLError,
            TimeoutError,
            ConnectionError,
            ValueError,
        ) as error:
            raise CommandError(
                f"Control does not answer at {self.url} ({error}). Is `earthflow up` running?"
            ) from None

    def post(self, path: str, body: object, key: str | None = None) -> Any:
        """The answer to a JSON body; with the same Idempotency-`key` it is done once. Raises CommandError."""
        return self._call("POST", path, json.dumps(body).encode(), key)

    def post_lines(self, path: str, lines: bytes) -> Any:
        """The answer to lines of JSON. Raises CommandError."""
        return self._call("POST", path, lines)

    def patch(self, path: str, body: object) -> Any:
        """The answer to a PATCH with a JSON body. Raises CommandError."""
        return self._call("PATCH", path, json.dumps(body).encode())

    def delete(self, path: str) -> Any:
        """The answer to a DELETE. Raises CommandError."""
        return self._call("DELETE", path, None)

    def _call(
        self, method: str, path: str, body: bytes | None, key: str | None = None
    ) -> Any:
        headers = {"X-API-Key": self._key, "Content-Type": "application/json"}
        if method == "POST":
            headers["Idempotency-Key"] = key or str(uuid.uuid4())
        request = urllib.request.Request(  # noqa: S310
            self.url + path, data=body, method=method, headers=headers
        )
        try:
            with self._opener.open(request, timeout=TIMEOUT) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise _refused(error) from None
        except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
            raise CommandError(
                f"Control does not answer at {self.url} ({error}). Is `earthflow up` running?"
            ) from None
        except (ValueError, http.client.HTTPException) as error:
            raise CommandError(
                f"What answers at {self.url} is not an Earthflow, or has nothing of that name ({type(error).__name__})."
            ) from None


def _json_of(error: urllib.error.HTTPError) -> Any:
    try:
        return json.load(error)
    except ValueError:
        return None


def _refused(error: urllib.error.HTTPError) -> Refused:
    try:
        problem = json.load(error)["error"]
        sentence = " ".join(
            filter(
                None,
                (
                    problem["message"],
                    problem.get("hint"),
                    f"(request {problem['request_id']})",
                ),
            )
        )
        return Refused(
            sentence,
            problem["code"],
            AUTHENTICATION if error.code in (401, 403) else FAILED,
        )
    except (ValueError, KeyError, TypeError):
        return Refused(f"Control answered {error.code}.", "unknown")
