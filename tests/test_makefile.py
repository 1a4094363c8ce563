"""What `make` would do, asked of make itself."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def planned(target: str, *variables: str, path: str = "") -> str:
    environment = {**os.environ, "PATH": f"{path}:{os.environ['PATH']}"}
    environment.pop("MAKEFLAGS", None)  # what `make test` itself was asked
    command = ["make", "--dry-run", "--no-print-directory", target, *variables]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout


def environment(folder: Path, *stamps: str) -> str:
    """An environment in which these steps are done."""
    (folder / "bin").mkdir()
    for name in ("bin/python", ".pip", *stamps):
        (folder / name).touch()
    return f"VENV={folder}"


def test_a_wheel_that_is_asked_for_replaces_what_was_compiled_or_failed_to(tmp_path: Path) -> None:
    venv = environment(tmp_path, ".llama", ".installed")
    assert "--force-reinstall" in planned("run", venv, "WHEELS=cpu")
    assert "--force-reinstall" not in planned("run", venv)


def test_a_wheel_stays_until_another_is_asked_for(tmp_path: Path) -> None:
    venv = environment(tmp_path, ".llama", ".llama-cpu", ".installed")
    assert "pip install" not in planned("run", venv)
    assert "pip install" not in planned("run", venv, "WHEELS=cpu")
    assert "whl/cu124" in planned("run", venv, "WHEELS=cu124")


@pytest.mark.parametrize("is_known", [True, False])
def test_avx512_fp16_is_left_out_where_the_compiler_knows_it_and_pip_s_cache_with_it(
    tmp_path: Path, is_known: bool
) -> None:
    compiler = tmp_path / "c++"
    compiler.write_text(f"#!/bin/sh\necho '#define {'__AVX512FP16__' if is_known else '__AVX512F__'} 1'\n")
    compiler.chmod(0o755)
    (venv := tmp_path / "venv").mkdir()
    steps = planned("run", environment(venv), path=str(tmp_path)).splitlines()
    (llama,) = (step for step in steps if "llama.lock" in step and "pip install" in step)
    assert ('CXXFLAGS=" -mno-avx512fp16"' in llama) is is_known
    assert ("PIP_CACHE_DIR=" in llama) is is_known


def test_a_newer_python_is_found_beside_one_that_is_too_old(tmp_path: Path) -> None:
    for name, status in (("python3", 1), ("python3.13", 1), ("python3.12", 0)):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\nexit {status}\n", encoding="utf-8")
        program.chmod(0o755)
    assert "\npython3.12 -m venv" in planned("run", f"VENV={tmp_path / 'none'}", path=str(tmp_path))


def test_an_environment_that_was_only_begun_is_finished_by_the_next_attempt(tmp_path: Path) -> None:
    """No pip yet, and the network away at first."""
    (tmp_path / "bin").mkdir()
    python, done, net = tmp_path / "bin" / "python", tmp_path / "done", tmp_path / "net"
    python.write_text(f"""#!/bin/sh
        echo "$*" >> {done}
        case "$*" in *show*) false;; *install*) test -e {net};; esac
    """)
    python.chmod(0o755)
    stamp = tmp_path / ".pip"
    command = ["make", "--no-print-directory", str(stamp), f"VENV={tmp_path}"]
    codes = []
    for _ in range(3):
        codes.append(subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode)
        net.touch()
    attempt = [
        "-m pip show --quiet pip",
        "-m ensurepip --default-pip",
        "-m pip install --quiet --upgrade pip>=25.3",
    ]
    assert (codes, stamp.exists()) == ([2, 0, 0], True)
    assert done.read_text().splitlines() == attempt * 2


def test_the_tests_model_does_not_depend_on_anybodys_settings(tmp_path: Path) -> None:
    venv = environment(tmp_path, ".llama", ".installed")
    assert "model pull --config config.example.toml smollm2-135m-instruct" in planned("model", venv)
