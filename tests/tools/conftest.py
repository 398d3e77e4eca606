"""These need `promtool`, `nginx`, `haproxy`, `certutil`, `update-ca-certificates` and Debian's `redis-tools`. Where those are not, they are not collected; CI installs them and says that they are."""

import os
import shutil

NEEDED = (
    "promtool",
    "redis-check-rdb",
    "nginx",
    "haproxy",
    "certutil",
    "update-ca-certificates",
)

collect_ignore_glob = (
    []
    if os.environ.get("EARTHFLOW_TOOLS") or all(map(shutil.which, NEEDED))
    else ["test_*.py"]
)
