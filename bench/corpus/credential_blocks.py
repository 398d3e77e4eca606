"""Credentials with an inner structure: key blocks, signed tokens, connection strings, assignments, headers."""

import json
from random import Random

from bench.corpus.draw import ALNUM, DIGITS, chars, digits, fill, group, uuid4, words
from bench.corpus.encodings import b64, b64url, base58check, bech32

_USERS = words(
    "admin app api_rw backend billing ci crm dbuser deploy etl grafana jobs keycloak metabase n8n orders payments postgres "
    "prod_app readwrite reporting root sa service shop svc_export sync web webapp worker wordpress zabbix"
)
_HOSTS = words(
    "db.internal.acme-retail.com prod-db-01.corp.local pg-main.eu-west-3.rds.amazonaws.com 10.20.4.17 cluster0.k3p9x.mongodb.net "
    "cache.svc.cluster.local mq.prod.northwind.io mysql-7.hosting.example.net sql01.fabrikam.com data.contoso.org localhost"
)
_DATABASES = words(
    "app analytics billing catalog crm hr inventory orders payroll production shop users warehouse wiki"
)
_SYMBOLS = "!#%&*+-.=?@^_~"
_SECRET_NAMES = words(
    "password passwd pwd db_password DB_PASSWORD POSTGRES_PASSWORD MYSQL_ROOT_PASSWORD SMTP_PASSWORD admin_password "
    "redis_password ldap_bind_password keystore_password"
)
_OPAQUE_NAMES = words(
    "SECRET_KEY CLIENT_SECRET API_SECRET AUTH_TOKEN JWT_SECRET ENCRYPTION_KEY SESSION_SECRET api_key client_secret"
)


def password(rng: Random, symbols: str = _SYMBOLS) -> str:
    """Return a strong password of 12 to 24 characters with letters, digits and symbols."""
    length = rng.randint(12, 24)
    core = [
        rng.choice("ABCDEFGHJKLMNPQRSTUVWXYZ"),
        rng.choice("abcdefghijkmnopqrstuvwxyz"),
        rng.choice(DIGITS),
        rng.choice(symbols),
    ]
    core += rng.choices(ALNUM + symbols, k=length - len(core) - 1)
    rng.shuffle(core)
    return rng.choice(ALNUM) + "".join(core)


def pem(rng: Random, label: str, size: int, head: bytes) -> str:
    """Return a PEM block of `size` fake bytes after the DER `head`, wrapped at 64 columns."""
    body = group(b64(head + rng.randbytes(size - len(head))), 64, sep="\n")
    return f"-----BEGIN {label}-----\n{body}\n-----END {label}-----"


def pem_rsa(rng: Random) -> str:
    """Return a PKCS#1 RSA private key block of the size of a 2048-bit key."""
    return pem(
        rng,
        "RSA PRIVATE KEY",
        rng.randint(1190, 1193),
        bytes.fromhex("308204a40201000282010100"),
    )


def pem_pkcs8(rng: Random) -> str:
    """Return a PKCS#8 private key block."""
    return pem(
        rng,
        "PRIVATE KEY",
        1218,
        bytes.fromhex("308204be020100300d06092a864886f70d0101010500048204a8"),
    )


def pem_ec(rng: Random) -> str:
    """Return a SEC1 private key block of the size of a P-256 key."""
    return pem(rng, "EC PRIVATE KEY", 121, bytes.fromhex("30770201010420"))


def pem_encrypted(rng: Random) -> str:
    """Return an encrypted PKCS#8 private key block."""
    return pem(rng, "ENCRYPTED PRIVATE KEY", 1325, bytes.fromhex("308205293053"))


def pem_openssh(rng: Random) -> str:
    """Return an OpenSSH private key block of the size of an ed25519 key."""
    head = (
        b"openssh-key-v1\0"
        + bytes.fromhex(
            "000000046e6f6e65000000046e6f6e650000000000000001000000330000000b"
        )
        + b"ssh-ed25519"
    )
    block = pem(rng, "OPENSSH PRIVATE KEY", 290, head)
    lines = block.split("\n")
    return "\n".join([lines[0], group("".join(lines[1:-1]), 70, sep="\n"), lines[-1]])


def pgp_private(rng: Random) -> str:
    """Return an armoured OpenPGP private key block."""
    body = group(b64(b"\x95\x05\x86\x04" + rng.randbytes(890)), 64, sep="\n")
    tail = b64(rng.randbytes(3))
    return f"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n{body}\n={tail}\n-----END PGP PRIVATE KEY BLOCK-----"


def jwt(rng: Random) -> str:
    """Return a JSON Web Token with plausible header, claims and a signature of the algorithm's length."""
    algorithm, size = rng.choice(
        [("HS256", 32), ("HS512", 64), ("RS256", 256), ("ES256", 64)]
    )
    header = {"alg": algorithm, "typ": "JWT"} | (
        {"kid": chars(rng, ALNUM, 12)} if rng.random() < 0.3 else {}
    )
    issued = rng.randint(1_690_000_000, 1_790_000_000)
    claims: dict[str, object] = {
        "sub": rng.choice([digits(rng, 10, "123456789"), uuid4(rng)]),
        "iat": issued,
        "exp": issued + 3600,
    }
    claims |= (
        {
            "iss": f"https://{rng.choice(['auth', 'login', 'id'])}.{rng.choice(_DATABASES)}.example"
        }
        if rng.random() < 0.5
        else {}
    )
    claims |= (
        {"scope": rng.choice(["read", "read write", "admin", "openid profile"])}
        if rng.random() < 0.5
        else {}
    )
    parts = [
        json.dumps(part, separators=(",", ":")).encode() for part in (header, claims)
    ]
    return ".".join([*map(b64url, parts), b64url(rng.randbytes(size))])


def _url_password(rng: Random) -> str:
    return password(rng, "-_.~!*")


def database_url(rng: Random, schemes: str, port: int) -> str:
    """Return a database URL of one of the `schemes` that carries user and password."""
    host = rng.choice(_HOSTS)
    scheme = rng.choice(schemes.split())
    place = (
        host if "mongodb.net" in host or scheme.endswith("+srv") else f"{host}:{port}"
    )
    tail = rng.choice(["", "", "?sslmode=require", "?retryWrites=true", "?ssl=true"])
    return f"{scheme}://{rng.choice(_USERS)}:{_url_password(rng)}@{place}/{rng.choice(_DATABASES)}{tail}"


def redis_url(rng: Random) -> str:
    """Return a Redis URL with a password and mostly no user."""
    user = rng.choice(["", "", "default"])
    secret = chars(rng, ALNUM, rng.randint(20, 44))
    return f"{rng.choice(['redis', 'rediss'])}://{user}:{secret}@{rng.choice(_HOSTS)}:6379/{rng.randint(0, 5)}"


def basic_auth_url(rng: Random) -> str:
    """Return an https or ftp URL with user and password."""
    path = rng.choice(
        [
            "api/v1/export",
            "repo.git",
            "metrics",
            "feeds/orders.xml",
            "simple/",
            "artifactory/libs-release",
        ]
    )
    return f"{rng.choice(['https', 'https', 'http', 'ftp'])}://{rng.choice(_USERS)}:{_url_password(rng)}@{rng.choice(_HOSTS)}/{path}"


def sqlserver(rng: Random) -> str:
    """Return an ADO.NET connection string."""
    secret, user = password(rng, "!#%&*+-.?@^_~"), rng.choice(_USERS)
    return f"Server=tcp:{rng.choice(_HOSTS)},1433;Database={rng.choice(_DATABASES)};User Id={user};Password={secret};Encrypt=True;"


def password_assignment(rng: Random) -> str:
    """Return a `password = …` style assignment with a strong random password."""
    name, secret = rng.choice(_SECRET_NAMES), password(rng)
    return rng.choice(
        [
            f"{name}={secret}",
            f"{name}: {secret}",
            f'{name} = "{secret}"',
            f"{name}='{secret}'",
            f'"{name}": "{secret}"',
        ]
    )


def secret_assignment(rng: Random) -> str:
    """Return a named opaque secret, as configuration files and environments hold it."""
    name = rng.choice(_OPAQUE_NAMES)
    secret = fill(rng, rng.choice(["{h:32}", "{h:64}", "{a:40}", "{u:43}", "{a:32}"]))
    return rng.choice(
        [
            f"{name}={secret}",
            f"{name}: {secret}",
            f'{name} = "{secret}"',
            f'"{name}": "{secret}"',
            f"export {name}={secret}",
        ]
    )


def bearer(rng: Random) -> str:
    """Return an Authorization header with an opaque bearer token."""
    return "Authorization: Bearer " + fill(
        rng, rng.choice(["{a:32}", "{u:43}", "{h:40}", "{h:64}", "{a:64}", "{u:86}"])
    )


def basic_header(rng: Random) -> str:
    """Return an Authorization header with base64 user and password."""
    return "Authorization: Basic " + b64(
        f"{rng.choice(_USERS)}:{password(rng)}".encode()
    )


def curl_user(rng: Random) -> str:
    """Return a curl command with user and password."""
    return f"curl -u {rng.choice(_USERS)}:{_url_password(rng)} https://{rng.choice(_HOSTS)}/api/health"


def netrc(rng: Random) -> str:
    """Return a .netrc line."""
    return f"machine {rng.choice(_HOSTS)} login {rng.choice(_USERS)} password {_url_password(rng)}"


def npmrc(rng: Random) -> str:
    """Return an .npmrc line for a private registry."""
    return f"//{rng.choice(['npm.corp.local', 'registry.acme-retail.com', 'nexus.northwind.io'])}/:_authToken={uuid4(rng)}"


def docker_auth(rng: Random) -> str:
    """Return the auths part of a Docker configuration."""
    auth = b64(f"{rng.choice(_USERS)}:{_url_password(rng)}".encode())
    return json.dumps(
        {
            "auths": {
                rng.choice(
                    ["https://index.docker.io/v1/", "ghcr.io", "registry.corp.local"]
                ): {"auth": auth}
            }
        }
    )


def azure_storage(rng: Random) -> str:
    """Return an Azure storage account connection string."""
    account, key = fill(rng, "{z:6-14}{d:0-4}"), b64(rng.randbytes(64))
    if rng.random() < 0.7:
        key = key[:75] + "+ASt" + chars(rng, ALNUM, 6) + rng.choice("AQgw") + "=="
    return f"DefaultEndpointsProtocol=https;AccountName={account};AccountKey={key};EndpointSuffix=core.windows.net"


def azure_service_bus(rng: Random) -> str:
    """Return an Azure Service Bus or Event Hubs connection string."""
    key, name = b64(rng.randbytes(32)), fill(rng, "{z:5-12}")
    return f"Endpoint=sb://{name}.servicebus.windows.net/;SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey={key}"


def azure_sas(rng: Random) -> str:
    """Return a blob URL with a shared access signature."""
    signature = (
        b64(rng.randbytes(32))
        .replace("+", "%2B")
        .replace("/", "%2F")
        .replace("=", "%3D")
    )
    account = fill(rng, "{z:6-12}")
    day = f"2026-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
    query = f"sv=2022-11-02&ss=b&srt=sco&sp=rwdlac&se={day}T08:00:00Z&st={day}T00:00:00Z&spr=https&sig={signature}"
    return f"https://{account}.blob.core.windows.net/backups?{query}"


def gcp_service_account(rng: Random) -> str:
    """Return a Google service account key file."""
    project = fill(rng, "{z:5-9}-{d:6}")
    return json.dumps(
        {
            "type": "service_account",
            "project_id": project,
            "private_key_id": fill(rng, "{h:40}"),
            "private_key": pem_pkcs8(rng) + "\n",
            "client_email": f"runner@{project}.iam.gserviceaccount.com",
            "client_id": digits(rng, 21, "1"),
        },
        indent=2,
    )


def aws_secret(rng: Random) -> str:
    """Return the secret line of an AWS credentials file."""
    name = rng.choice(
        ["aws_secret_access_key = ", "AWS_SECRET_ACCESS_KEY=", 'secretAccessKey: "']
    )
    return name + fill(rng, "{b:40}") + ('"' if name.endswith('"') else "")


def discord_bot(rng: Random) -> str:
    """Return a Discord bot token: the base64 user id, a timestamp and a signature."""
    return f"{b64url(digits(rng, rng.choice([18, 19]), '1').encode())}.{fill(rng, 'G{u:5}.{u:38}')}"


def pypi(rng: Random) -> str:
    """Return a PyPI upload token: a macaroon."""
    identifier = json.dumps(
        {"version": 1, "permissions": "user"} if rng.random() < 0.5 else [1, uuid4(rng)]
    ).encode()
    data = (
        b"\x02\x01\x08pypi"
        + b".org\x02\x24"
        + uuid4(rng).encode()
        + b"\x00\x02"
        + bytes([len(identifier)])
        + identifier
    )
    return "pypi-" + b64url(data + b"\x00\x00\x06\x20" + rng.randbytes(32))


def grafana_cloud(rng: Random) -> str:
    """Return a Grafana Cloud access policy token."""
    body = {
        "o": digits(rng, 6, "1234567"),
        "n": fill(rng, "{z:6}-{z:4}"),
        "k": fill(rng, "{a:24}"),
        "m": {"r": rng.choice(["eu", "us"])},
    }
    return "glc_" + b64(json.dumps(body, separators=(",", ":")).encode())


def sentry_org(rng: Random) -> str:
    """Return a Sentry organisation token."""
    body = {
        "iat": rng.randint(1_690_000_000, 1_790_000_000) + 0.25,
        "url": "https://sentry.io",
        "region_url": "https://de.sentry.io",
    }
    body["org"] = fill(rng, "{z:4-10}")
    return "sntrys_" + b64(json.dumps(body).encode()) + "_" + b64url(rng.randbytes(32))


def mapbox_secret(rng: Random) -> str:
    """Return a Mapbox secret token."""
    claims = json.dumps(
        {"u": fill(rng, "{z:5-10}"), "a": fill(rng, "c{l:24}")}, separators=(",", ":")
    )
    return f"sk.{b64url(claims.encode())}.{fill(rng, '{u:22}')}"


def onepassword_service(rng: Random) -> str:
    """Return a 1Password service account token."""
    body = {
        "signInAddress": "my.1password.eu",
        "userAuth": {
            "method": "SRPg-4096",
            "alg": "PBES2g-HS256",
            "iterations": 650000,
            "salt": fill(rng, "{u:22}"),
        },
        "email": fill(rng, "{c:13}@1passwordserviceaccounts.com"),
        "srpX": fill(rng, "{h:64}"),
        "secretKey": fill(rng, "A3-{U:6}-{U:6}-{U:5}-{U:5}-{U:5}-{U:5}"),
        "deviceUuid": fill(rng, "{c:26}"),
    }
    return "ops_" + b64url(json.dumps(body, separators=(",", ":")).encode())


def aws_bedrock(rng: Random) -> str:
    """Return a long-term Amazon Bedrock API key."""
    return "ABSK" + b64(
        fill(rng, "BedrockAPIKey-{l:4}-at-{d:12}:").encode()
        + b64(rng.randbytes(33)).encode()
    )


def age_secret(rng: Random) -> str:
    """Return an age identity."""
    return bech32("age-secret-key-", rng.randbytes(32)).upper()


def nostr_secret(rng: Random) -> str:
    """Return a Nostr secret key (NIP-19)."""
    return bech32("nsec", rng.randbytes(32))


def xprv(rng: Random) -> str:
    """Return a BIP-32 extended private key."""
    node = (
        bytes([rng.randint(0, 5)])
        + rng.randbytes(8)
        + rng.randbytes(32)
        + b"\0"
        + rng.randbytes(32)
    )
    return base58check(bytes.fromhex("0488ade4") + node)


def bitcoin_wif(rng: Random) -> str:
    """Return a compressed Bitcoin private key in wallet import format."""
    return base58check(b"\x80" + rng.randbytes(32) + b"\x01")
