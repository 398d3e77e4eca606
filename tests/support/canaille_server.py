"""Canaille, an OpenID Connect provider, with two people and one client. Runs in a Python of its own (tests/support/identity_provider.py).

Takes orders on standard input, one JSON list each, and answers each with a line; it ends with its input.
"""

import base64
import hmac
import json
import sys
import tempfile
import threading
from typing import Any
from uuid import uuid4

from authlib.oidc.core.grants import util
from canaille import create_app
from canaille.app import models
from canaille.backends import Backend
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey
from werkzeug.serving import make_server

PORT, CLIENT, SECRET, BACK = int(sys.argv[1]), *sys.argv[2:5]
FOLDER = tempfile.TemporaryDirectory()  # gone when it ends
PASSWORD = "correct horse battery staple"


def new_key() -> dict[str, Any]:
    return RSAKey.generate_key(2048, auto_kid=True).as_dict(private=True)


def by_hand(header: dict[str, Any], claims: dict[str, Any], secret: bytes) -> str:
    """A token signed with a secret that joserfc would not take for one."""
    parts = [b64(json.dumps(one).encode()) for one in (header, claims)]
    signature = hmac.digest(secret, ".".join(parts).encode(), "sha256")
    return ".".join([*parts, b64(signature)])


def b64(what: bytes) -> str:
    return base64.urlsafe_b64encode(what).decode().rstrip("=")


class Orders:
    """What a test can order: other groups, other keys, wrong tokens."""

    def __init__(self) -> None:
        self.claims: dict[str, Any] = {}
        self.header: dict[str, Any] = {}
        self.signed = "right"
        jwt_encode = jwt.encode

        def encode(header: Any, claims: Any, key: Any, *rest: Any, **more: Any) -> str:
            if (
                "nonce" not in claims
            ):  # an access token, of which two of one second would be the same
                return jwt_encode(header, {**claims, "jti": uuid4().hex}, key, *rest, **more)  # fmt: skip
            claims = {name: value for name, value in {**claims, **self.claims}.items() if value is not None}  # fmt: skip
            header = {**header, **self.header}
            if self.signed == "none":
                header, key = {"alg": "none"}, OctKey.generate_key()
            if self.signed == "by-secret":
                header, key = {"alg": "HS256", "kid": header["kid"]}, OctKey.import_key(SECRET)  # fmt: skip
            if self.signed == "by-public-key":
                return by_hand({"alg": "HS256", "kid": header["kid"]}, claims, key.as_pem(private=False))  # fmt: skip
            if self.signed == "by-another":
                key = RSAKey.generate_key(2048, {"kid": header["kid"]})
            if self.signed == "by-an-unknown":
                key = ECKey.generate_key("P-256", {"kid": "nobody"})
                header = {"alg": "ES256", "kid": "nobody"}
            text: str = jwt_encode(header, claims, key, algorithms=[header["alg"]])
            return text

        util.jwt.encode = encode

    def token(
        self, claims: dict[str, Any], header: dict[str, Any], signed: str
    ) -> None:
        self.claims, self.header, self.signed = claims, header, signed

    def rotate(self) -> None:
        settings = app.config["CANAILLE_OIDC"]
        settings["INACTIVE_JWKS"], settings["ACTIVE_JWKS"] = None, [new_key()]

    def groups(self, person: str, names: list[str]) -> None:
        user = Backend.instance.get(models.User, user_name=person)
        for group in Backend.instance.query(models.Group):
            group.members = [one for one in group.members if one.user_name != person]
            group.members += [user] if group.display_name in names else []
            Backend.instance.save(group) if group.members else None

    def revoke(self) -> None:
        """Every refresh token is worth nothing."""
        for token in Backend.instance.query(models.Token):
            Backend.instance.delete(token)


def fill() -> None:
    """Two people, the groups that tests know, one client."""
    for name in ("ada", "grace"):
        Backend.instance.save(models.User(user_name=name, formatted_name=name.title(), family_name=name, emails=[f"{name}@corp.example"], password=PASSWORD))  # fmt: skip
    root = models.User(user_name="root", formatted_name="root", family_name="root", emails=["root@corp.example"], password=PASSWORD)  # fmt: skip
    Backend.instance.save(root)
    for name in ("platform", "security", "acme-team", "nobody-knows"):
        Backend.instance.save(models.Group(display_name=name, members=[root]))
    client = models.Client(client_id=CLIENT, client_secret=SECRET, client_name="Earthflow", client_uri="http://127.0.0.1", redirect_uris=[BACK], post_logout_redirect_uris=[BACK.rpartition("/sign-in")[0] + "/signed-in"], grant_types=["authorization_code", "refresh_token"], response_types=["code"], scope=["openid", "profile", "email", "groups", "offline_access"], token_endpoint_auth_method="client_secret_basic")  # fmt: skip
    client.audience = [client]
    Backend.instance.save(client)
    client.audience = [client]
    Backend.instance.save(client)


app = create_app(
    {
        "SECRET_KEY": "only-in-tests",
        "SERVER_NAME": f"127.0.0.1:{PORT}",
        "PREFERRED_URL_SCHEME": "http",
        "CANAILLE": {"DATABASE": "sql", "JAVASCRIPT": False, "HTMX": False, "SMTP": None, "LOGGING": {"version": 1, "disable_existing_loggers": False}},
        "CANAILLE_SQL": {"DATABASE_URI": f"sqlite:///{FOLDER.name}/canaille.db", "PASSWORD_SCHEMES": "plaintext"},
        "CANAILLE_OIDC": {"ACTIVE_JWKS": [new_key()]},
    }
)  # fmt: skip
with app.app_context(), Backend.instance.session():
    fill()
orders = Orders()
server = make_server("127.0.0.1", PORT, app, threaded=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(json.dumps("ready"), flush=True)
for line in sys.stdin:
    name, *arguments = json.loads(line)
    with app.app_context(), Backend.instance.session():
        getattr(orders, name)(*arguments)
    print(json.dumps("done"), flush=True)
