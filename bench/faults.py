"""The randomised fault test of tests/system/chaos.py for as long as one likes.

Options: --seconds S (default 60), --seed N (default: by chance, printed), --database sqlite|postgresql, --runners N.
"""

import argparse
import secrets
import sys
import tempfile
import time
from pathlib import Path

from _place import folder
from tests import postgres
from tests.system.chaos import Chaos
from tests.system.stand import Project, Stand


def run(chaos: Chaos, seconds: float, runners: int) -> dict[str, int]:
    """Everything, and its counts; raises what is found wrong."""
    try:
        chaos.begin(runners)
        chaos.go(seconds)
        return chaos.judge(timeout_s=max(150.0, seconds))
    finally:
        chaos.end()


def main() -> int:
    """Run once with one seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 31))
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--runners", type=int, default=2)
    asked = parser.parse_args()
    print(f"seed {asked.seed}, {asked.seconds:.0f} s on {asked.database}", flush=True)
    began = time.monotonic()
    with folder() as where, tempfile.TemporaryDirectory() as shared:
        project = Project(where / "repositories")
        if asked.database == "sqlite":
            counts = run(Chaos([Stand(where)], project, asked.seed, where), asked.seconds, asked.runners)
        else:
            with postgres.cluster(Path(shared)) as cluster:
                if cluster is None:
                    print(postgres.WHY_NOT)
                    return 1
                with cluster.database(cluster.template(Path(shared))) as url:
                    blobs = ("--blobs", str(where / "blobs"))
                    stands = [Stand(where / name, *blobs, database=url) for name in ("a", "b")]
                    counts = run(Chaos(stands, project, asked.seed, where), asked.seconds, asked.runners)
    words = ", ".join(f"{value} {name}" for name, value in counts.items())
    print(f"nothing lost, nothing wrong, nothing left: {words}; all told {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
