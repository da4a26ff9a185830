"""Fails when a tracked file holds something that looks like a secret and is not in the reviewed baseline.

A known finding is known by its hash, wherever it stands: moving a line is no news.
`--accept` writes the baseline after a review.
"""

import json
import subprocess
import sys
from pathlib import Path

from detect_secrets import SecretsCollection
from detect_secrets.core import baseline as baselines
from detect_secrets.settings import transient_settings

BASELINE = Path(".secrets.baseline")
DIGESTS = frozenset({"evals/baseline.json"})
"""Files that consist of content hashes, which any scanner takes for secrets."""


def main() -> int:
    """Returns the exit code."""
    known = json.loads(BASELINE.read_text(encoding="utf-8"))
    listing = subprocess.run(["/usr/bin/env", "git", "ls-files"], capture_output=True, text=True, check=True)
    found = SecretsCollection()
    with transient_settings({key: known[key] for key in ("plugins_used", "filters_used")}):
        for name in listing.stdout.splitlines():
            if Path(name).is_file() and Path(name) != BASELINE and name not in DIGESTS:
                found.scan_file(name)
        if "--accept" in sys.argv:
            baselines.save_to_file(found, str(BASELINE))
            return 0
    accepted = {entry["hashed_secret"] for entries in known["results"].values() for entry in entries}
    fresh = [secret for _, secret in found if secret.secret_hash not in accepted]
    for secret in fresh:
        sys.stdout.write(f"{secret.filename}:{secret.line_number}: looks like a secret ({secret.type})\n")
    if fresh:
        sys.stdout.write("Take it out; or, if it is none, end its line with `pragma: allowlist secret`.\n")
    return 1 if fresh else 0


if __name__ == "__main__":
    sys.exit(main())
