"""The interception CA's file is private: ours alone, or put there by root for our group, as Kubernetes mounts a Secret."""

import os
from pathlib import Path

import pytest

from addons.mitm.certificates import CA_FILE, BadCertificate, read_ca
from cli.ca_folder import write_local

US, ROOT, SOMEBODY = 1000, 0, 1001


@pytest.mark.parametrize(
    ("owner", "mode", "private"),
    [
        (US, 0o600, True),
        (US, 0o400, True),
        (US, 0o640, False),
        (US, 0o604, False),
        (ROOT, 0o440, True),
        (ROOT, 0o640, True),
        (ROOT, 0o460, False),
        (ROOT, 0o444, False),
        (SOMEBODY, 0o440, False),
    ],
)
def test_the_cas_key_is_private(
    owner: int,
    mode: int,
    private: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_local(tmp_path)
    (tmp_path / CA_FILE).chmod(mode)
    real = Path.stat

    def stat(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        found = list(real(path, follow_symlinks=follow_symlinks))
        found[4] = owner
        return os.stat_result(found)

    monkeypatch.setattr(Path, "stat", stat)
    monkeypatch.setattr(os, "geteuid", lambda: US)
    if private:
        assert read_ca(tmp_path).issuer.subject
    else:
        with pytest.raises(BadCertificate, match=f"mode {mode:04o}"):
            read_ca(tmp_path)
