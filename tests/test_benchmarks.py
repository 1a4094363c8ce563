"""A comparison is one only if the peers are what they are without us."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

START = """
import sys
from pathlib import Path
from benchmarks.engine import Peer

try:
    Peer("server", Path("no-model"), Path(sys.argv[1]))
except RuntimeError:
    pass  # the program ends at once
"""


def test_a_peer_has_not_the_spin_we_set_for_ourselves(tmp_path: Path) -> None:
    """With it, llama.cpp's server beside busy neighbours was as fast as we are."""
    program = tmp_path / "llama-server"
    program.write_text(f"#!/bin/sh\nenv >{tmp_path}/environment\n", encoding="utf-8")
    program.chmod(0o755)
    clean = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"} | {"KEPT": "this"}
    subprocess.run([sys.executable, "-c", START, program], cwd=ROOT, env=clean, check=True)
    environment = (tmp_path / "environment").read_text(encoding="utf-8").splitlines()
    assert "KEPT=this" in environment
    assert not any(line.startswith("GOMP_SPINCOUNT=") for line in environment)


def test_a_peer_of_ours_makes_replies_and_proves_them(shallow_path: Path) -> None:
    asked = [
        {"workload": "together", "n": 1, "tokens": 4, "prompt": 12},
        {"workload": "proof", "replies": 3, "tokens": 5, "longest": 40},
    ]
    command = [sys.executable, "-m", "benchmarks.peers", "glasshead", str(shallow_path)]
    lines = "".join(json.dumps(request) + "\n" for request in asked)
    told = subprocess.run(command, cwd=ROOT, input=lines, stdout=subprocess.PIPE, text=True, check=True).stdout
    ready, together, proof = map(json.loads, told.splitlines())
    assert ready == "ready"
    assert together["tok_s"] > 0
    assert proof["A"] + proof["B"] == proof["rows"] > 0
