"""`earthflow ca`: make the CA that opens the TLS of AI hosts, renew it, give it to clients."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from cryptography import x509

from cli import ca_folder, ca_install, remote
from cli.ca_folder import CA_FILE, PUBLIC_FILE
from cli.client import Control, Refused
from cli.errors import BAD_CONFIGURATION, CommandError
from cli.output import Output, emit
from cli.settings import UpSettings
from contract.authority import (
    Authority,
    Key,
    ask,
    certificate_pem,
    fingerprint,
    is_root,
    new_key,
    not_covered,
    read_authority,
    sign_issuer,
    signs_leaves_only,
)
from contract.providers import BadProviders, ai_hosts, providers

# Days before its end from which on `init --keep` renews an issuer.
RENEW_DAYS = 60

app = typer.Typer(help="The CA that opens the TLS of AI hosts.", no_args_is_help=True)
app.command("install")(ca_install.install)


def folder_of(settings: UpSettings) -> Path:
    """Where the files of the CA are."""
    return settings.state_dir / "ca"


def hosts_of(settings: UpSettings) -> list[str]:
    """The hosts that are opened. Raises CommandError."""
    try:
        return list(ai_hosts(providers(settings.providers)))
    except BadProviders as error:
        raise CommandError(str(error), BAD_CONFIGURATION) from None


def make(control: Control, folder: Path, hosts: Sequence[str]) -> None:
    """Let control make a root where it knows none, and write an issuer of it.

    Raises CommandError.
    """
    if not _in_use(control):
        control.post("/v1/ca", {})
    _write_issued(control, folder, new_key(), None, hosts)


def keep(control: Control, folder: Path, hosts: Sequence[str]) -> str:
    """Make a CA where there is none, or renew an issuer that ends soon or may not sign for
    all hosts; what was done, as a sentence.

    Where it cannot be renewed, it stays. Raises CommandError where there is none to stay.
    """
    if not (folder / CA_FILE).exists():
        make(control, folder, hosts)
        return f"made: {folder / PUBLIC_FILE}"
    signer = ca_folder.issuer(folder).certificate
    left = (signer.not_valid_after_utc - datetime.now(UTC)).days
    missing = not_covered(signer, hosts)
    if is_root(signer) or (left > RENEW_DAYS and not missing):
        return ""
    why = f"it may not sign for {', '.join(missing)}" if missing else f"it ends in {left} days"  # fmt: skip
    try:
        _renew(control, folder, hosts)
    except CommandError as error:
        return f"was not renewed, though {why}: {error}"
    return f"renewed, since {why}"


def _renew(control: Control, folder: Path, hosts: Sequence[str]) -> None:
    """Write another issuer of the roots that are in use.

    While a root that may sign leaves only is being replaced, its key stays in use:
    clients that trust only that root know no other.
    """
    if own := ca_folder.local_root(folder):
        _renew_local(folder, own, hosts)
        return
    held = ca_folder.issuer(folder)
    if is_root(held.certificate) and not _in_use(control):
        raise CommandError("This CA has no issuer. Replace it while all clients work: earthflow ca renew --root")  # fmt: skip
    early = (one for one in _in_use(control) if signs_leaves_only(one))
    if any(root.subject == held.certificate.subject for root in early):
        _write_issued(control, folder, held.key, held.certificate.subject, hosts)
    else:
        _write_issued(control, folder, new_key(), None, hosts)


def _write_issued(
    control: Control,
    folder: Path,
    key: Key,
    subject: x509.Name | None,
    hosts: Sequence[str],
) -> None:
    request = ask(key, subject)
    body = {"request": request.decode(), "hosts": list(hosts)}
    try:
        answer = control.post("/v1/ca/issue", body)
    except Refused as refused:
        if refused.code != "root_offline":
            raise
        path = ca_folder.write_request(folder, key, request)
        raise CommandError(
            f"Control does not have the root's key. Sign {path} where it is: earthflow ca sign {path.name} --root FILE > signed.pem. "
            "Then bring that back: earthflow ca renew --signed signed.pem"
        ) from None
    ca_folder.write_ca(folder, key, answer["chain"].encode(), answer["roots"].encode())


def _in_use(control: Control) -> list[x509.Certificate]:
    """The roots that are not retired, oldest first."""
    return [
        x509.load_pem_x509_certificate(root["certificate"].encode())
        for root in control.get("/v1/ca")["roots"]
        if root["state"] != "retired"
    ]


def _described(folder: Path) -> dict[str, Any]:
    signer = ca_folder.issuer(folder).certificate
    trusted = ca_folder.roots(folder)
    return {
        "path": str(folder / CA_FILE),
        "subject": signer.subject.rfc4514_string(),
        "sha256": fingerprint(signer),
        "not_after": signer.not_valid_after_utc.isoformat(),
        "roots": [fingerprint(root) for root in trusted],
        "roots_not_after": [root.not_valid_after_utc.isoformat() for root in trusted],
    }


@app.command()
def init(
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Replace the files that are here; the root stays control's.",
        ),
    ] = False,
    keep_it: Annotated[
        bool,
        typer.Option(
            "--keep",
            help="Leave a CA that is here, and renew it where that is due. For each start of a deployment.",
        ),
    ] = False,
    local: Annotated[
        bool,
        typer.Option(
            "--local",
            help="Without control: the root's key stays in this folder.",
        ),
    ] = False,
    output: Output = "table",
) -> None:
    """Make the CA that opens AI hosts: a root, whose key control keeps, and below it what
    the proxies sign with.
    """
    settings = UpSettings()
    folder, hosts = folder_of(settings), hosts_of(settings)
    if keep_it:
        if done := keep(remote.control(), folder, hosts):
            typer.echo(f"The CA {done}.", err=True)
    elif (folder / CA_FILE).exists() and not force:
        raise CommandError(
            f"There is a CA in {folder} already. `earthflow ca renew` renews it; --force replaces it."
        )
    elif local:
        ca_folder.write_local(folder, hosts)
    else:
        make(remote.control(), folder, hosts)
    emit(_described(folder), output)


@app.command()
def renew(
    root: Annotated[
        bool,
        typer.Option(
            "--root",
            help="Replace the root, too. Clients of the old and of the new one both work until --finish.",
        ),
    ] = False,
    finish: Annotated[
        bool,
        typer.Option(
            "--finish",
            help="End that: clients that know only the old root stop working.",
        ),
    ] = False,
    signed: Annotated[
        Path | None,
        typer.Option("--signed", help="What `earthflow ca sign` printed."),
    ] = None,
    output: Output = "table",
) -> None:
    """Renew what the proxies sign with; a proxy takes it up within seconds."""
    settings = UpSettings()
    folder, hosts = folder_of(settings), hosts_of(settings)
    if signed is not None:
        _take_signed(remote.control(), folder, signed)
    elif (own := ca_folder.local_root(folder)) and not (root or finish):
        _renew_local(folder, own, hosts)
    else:
        control = remote.control()
        if root:
            _replace_root(control, folder)
        if finish:
            control.post("/v1/ca/finish", {})
        _renew(control, folder, hosts)
    emit(_described(folder), output)
    if root:
        typer.echo(
            f"Give all clients {folder / PUBLIC_FILE} (earthflow ca export), then run: earthflow ca renew --finish",
            err=True,
        )


def _replace_root(control: Control, folder: Path) -> None:
    """Have control make a root beside the one in use; one that it never saw it takes in.

    Raises CommandError where nobody could certify the new one, before anything is done.
    """
    if not _in_use(control):
        (known, *_) = ca_folder.roots(folder)
        if not signs_leaves_only(known):
            raise CommandError(
                "Control does not have the key of this root, so it cannot certify a new one. Give every client a new CA's root first, then "
                "use that: earthflow ca init --force"
            )
        control.post("/v1/ca", {"certificate": certificate_pem(known).decode()})
    control.post("/v1/ca", {"beside": True})


def _renew_local(folder: Path, root: Authority, hosts: Sequence[str]) -> None:
    key = new_key()
    issuer = sign_issuer(root, ask(key), hosts)
    ca_folder.write_ca(folder, key, issuer, root.pem)


def _take_signed(control: Control, folder: Path, path: Path) -> None:
    try:
        chain = path.read_bytes()
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}.") from None
    ca_folder.take_signed(folder, chain, _in_use(control))


@app.command()
def sign(
    request: Annotated[Path, typer.Argument(help="The file that `ca renew` wrote.")],
    root: Annotated[
        Path, typer.Option("--root", help="The root's key and certificate (PEM).")
    ],
) -> None:
    """Sign a request with a root whose key is kept offline; prints the certificate."""
    try:
        authority = read_authority(root.read_bytes())
        text = sign_issuer(authority, request.read_bytes(), hosts_of(UpSettings()))
    except (OSError, ValueError) as error:
        raise CommandError(
            f"{request} cannot be signed with {root}: {error}."
        ) from None
    typer.echo(text.decode(), nl=False)


@app.command()
def show(output: Output = "table") -> None:
    """Show what the proxies sign with, the roots above it, and how long they are valid."""
    emit(_described(folder_of(UpSettings())), output)


@app.command()
def export(
    to: Annotated[
        Path | None,
        typer.Option("--to", help="A file to write; standard output if not given."),
    ] = None,
) -> None:
    """Write the roots (never a key) as PEM, for clients to trust."""
    pem = b"".join(map(certificate_pem, ca_folder.roots(folder_of(UpSettings()))))
    if to is None:
        typer.echo(pem.decode(), nl=False)
    else:
        to.write_bytes(pem)
        typer.echo(f"Wrote {to}.", err=True)
