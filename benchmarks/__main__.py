"""`make bench`: every measurement, one after the other; tables and charts into benchmarks/results/."""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from . import ENVIRONMENT
from .engine import DEFAULT_MODEL, RESULTS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of the engine's comparison")
    parser.add_argument("--log-turns", type=int, default=1_000_000, help="turns in the generated log")
    settings = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    run("engine", "--model", str(settings.model), "--rounds", str(settings.rounds))
    run("explain", str(settings.model))
    with tempfile.TemporaryDirectory() as folder:
        log = str(Path(folder) / "glasshead.db")
        run("log_generator", log, "--turns", str(settings.log_turns))
        run("log", log)


def run(module: str, *arguments: str) -> None:
    """Run a benchmark; what it prints is shown as it comes."""
    print(f"== {module}", flush=True)
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    code = subprocess.run(command, check=False, env=ENVIRONMENT).returncode
    if code:
        sys.exit(f"{module} failed with code {code}")


if __name__ == "__main__":
    main()
