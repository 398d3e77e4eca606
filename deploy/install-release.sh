#!/usr/bin/env bash
# Install what is checked out beside what runs: into FOLDER-<time>, to which FOLDER then is a link. What runs keeps its own until it is
# started again, and what is not yet whole is never started. The version before stays; older ones are deleted.
# Usage: install-release.sh FOLDER
set -euo pipefail
folder=$(realpath -ms "${1:?name the folder of the virtual environment}")
cd "$(dirname "$0")/.."
next=$folder-$(date +%Y%m%d%H%M%S)
trap '[[ $(readlink -f "$folder") == "$next" ]] || rm -rf "$next"' EXIT

bash deploy/install.sh "$next" requirements.txt requirements-build.txt
if [[ -d $folder && ! -L $folder ]]; then mv "$folder" "$folder-0"; fi
before=$(readlink "$folder" || echo "$folder-0")
ln -s "${next##*/}" "$next.link"
mv -T "$next.link" "$folder"
for old in "$folder"-[0-9]*; do
  [[ $old == "$next" || ${old##*/} == "${before##*/}" ]] || rm -rf "$old"
done
