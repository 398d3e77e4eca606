#!/usr/bin/env bash
# Install what is checked out beside what runs: into FOLDER-<time>, to which FOLDER then is a link. What runs keeps its own until it is
# started again, and what is not yet whole is never started. The version before stays, and whatever a process still uses; older ones go.
# Usage: install-release.sh FOLDER
set -euo pipefail
folder=$(realpath -m "$(dirname "${1:?name the folder of the virtual environment}")")/$(basename "$1")
cd "$(dirname "$0")/.."
next=$folder-$(date +%Y%m%d%H%M%S)
linked=
trap '[[ -n $linked ]] || rm -rf "$next"' EXIT

bash deploy/install.sh "$next" requirements.txt requirements-build.txt
case $(readlink -f "$next/bin/python") in
"$HOME"/* | /home/*)
  echo "The units cannot read a Python in a home folder. Install one for all: apt install python3 python3-venv, then run this again." >&2
  exit 78
  ;;
esac
before=$(readlink "$folder" || true)
if [[ -d $folder && ! -L $folder ]]; then # as early versions made it
  before=$folder-$(date -r "$folder" +%Y%m%d%H%M%S)
  mv -T "$folder" "$before"
fi
ln -s "${next##*/}" "$next.link"
mv -T "$next.link" "$folder"
linked=1
is_used() { grep -qsF "$1/" /proc/[0-9]*/maps; }  # by a library that is loaded from it
for old in "$folder"-[0-9]*; do
  [[ $old == "$next" || ${old##*/} == "${before##*/}" ]] || is_used "$old" || rm -rf "$old"
done
