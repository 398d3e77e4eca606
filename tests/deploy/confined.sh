#!/usr/bin/env bash
# Run a command as the image does: uid 1000, no rights, a root file system that is read-only but for the volumes.
# confined.sh VOLUME:VOLUME… PYTHON_HOME COMMAND…      (as root)
set -euo pipefail
if [[ -z ${CONFINED:-} ]]; then exec env CONFINED=1 unshare --mount --propagation private bash "$0" "$@"; fi
IFS=: read -ra volumes <<<"$1"
python=$2
shift 2
# The Python may lie in a home that only root enters: show it there, and nothing else of that home.
closed= folder=$python
while [[ $folder != / ]]; do
  folder=$(dirname "$folder")
  [[ $(stat -c %a "$folder") == *[1357] ]] || closed=$folder
done
if [[ -n $closed ]]; then
  mkdir -p /run/earthflow-python
  mount --bind "$python" /run/earthflow-python
  mount -t tmpfs -o mode=0755 tmpfs "$closed"
  mkdir -p "$python"
  mount --move /run/earthflow-python "$python"
fi
for volume in "${volumes[@]}"; do mount --bind "$volume" "$volume"; done
mount --bind / /
for volume in "${volumes[@]}"; do mount --bind "$volume" "$volume"; done
mount -o remount,bind,ro /
exec env -u CONFINED setpriv --reuid 1000 --regid 1000 --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all "$@"
