#!/usr/bin/env bash
# Install Earthflow on this machine, for systemd: the virtual environment, a user, settings with new secrets, the units.
# Run it again after an upgrade of the checkout: what is there stays. With DESTDIR it writes there, and needs no root.
set -euo pipefail
cd "$(dirname "$0")/.."
root=${DESTDIR:-}
settings=$root/opt/earthflow/.env
user=earthflow

if [[ -z $root ]]; then
  if ((EUID)); then
    echo "install-systemd needs root: sudo make install-systemd" >&2
    exit 77
  fi
  if [[ $PWD != /opt/earthflow ]]; then
    echo "The units run what is in /opt/earthflow, and this is $PWD. Clone there: git clone URL-OF-THIS-REPOSITORY /opt/earthflow" >&2
    exit 78
  fi
  bash deploy/install-release.sh .venv
  id "$user" >/dev/null 2>&1 || useradd --system --home-dir /opt/earthflow --shell /usr/sbin/nologin "$user"
  mine=(-o "$user" -g "$user")
else
  mine=()
fi

install -d -m 0755 "$root/opt/earthflow" "$root/etc/systemd/system"
install -d -m 0700 "${mine[@]}" "$root/var/lib/earthflow" "$root/var/backups/earthflow"
install -d -m 0700 "$root/etc/earthflow"
install -m 0644 deploy/systemd/*.service deploy/systemd/*.timer "$root/etc/systemd/system/"

if [[ ! -e $settings ]]; then
  python=${PYTHON:-.venv/bin/python}
  secret() { "$python" -c "$1"; }
  umask 077
  sed -e "s|^EARTHFLOW_MASTER_KEY=.*|EARTHFLOW_MASTER_KEY=$(secret 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())')|" \
    -e "s|^EARTHFLOW_ADMIN_API_KEY=.*|EARTHFLOW_ADMIN_API_KEY=$(secret 'import secrets; print("ef_admin_" + secrets.token_urlsafe(32))')|" \
    -e 's|^EARTHFLOW_CONTROL_URL=.*|EARTHFLOW_CONTROL_URL=http://127.0.0.1:8080|' \
    -e 's|^POSTGRES_HOST=.*|POSTGRES_HOST=127.0.0.1|' -e 's|^REDIS_HOST=.*|REDIS_HOST=127.0.0.1|' \
    .env.example >"$settings"
  [[ -n $root ]] || { chown "root:$user" "$settings" && chmod 0640 "$settings"; }
  echo "Wrote $settings with a new master key and admin key. Keep a copy of it where the database's backup is not."
fi

if [[ -z $root ]]; then
  systemctl daemon-reload
fi
cat <<TEXT
Next:
  1. Set POSTGRES_PASSWORD (and REDIS_PASSWORD) in $settings; PostgreSQL and Redis are yours to install.
  2. systemctl enable --now earthflow-control
  3. sudo -u $user sh -c 'set -a; . /opt/earthflow/.env; /opt/earthflow/.venv/bin/earthflow ca init'
  4. systemctl enable --now earthflow-proxy
  5. printf %s PASSPHRASE >/etc/earthflow/backup-passphrase, then: systemctl enable --now earthflow-backup.timer
  6. When somebody hands out new keys within a fortnight: systemctl enable --now earthflow-rotate.timer
TEXT
