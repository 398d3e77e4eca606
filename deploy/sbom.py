"""Write what a release depends on, as CycloneDX: `sbom.py FILE`, from requirements.txt, in the name of this version."""

import json
import subprocess
import sys
from pathlib import Path

from contract.version import VERSION

COMMAND = (
    "-m",
    "cyclonedx_py",
    "requirements",
    "requirements.txt",
    "--pyproject",
    "pyproject.toml",
    "--output-reproducible",
)

written = subprocess.run(
    [sys.executable, "-W", "ignore", *COMMAND], capture_output=True, check=True
).stdout
bill = json.loads(written)
bill["metadata"]["component"]["version"] = (
    VERSION  # pyproject.toml names the file that has it, which the tool does not follow
)
Path(sys.argv[1]).write_text(json.dumps(bill, indent=2) + "\n")
