"""What this process's cgroup, and those above it, allow: a container's share of its machine."""

import math
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")


def cores() -> float:
    """Cores' worth of time; infinite where nothing is said."""
    return min(map(_quota, _folders("cpu")), default=math.inf)


def memory() -> float:
    """Bytes; infinite where nothing is said."""
    return min(map(_bytes, _folders("memory")), default=math.inf)


def _folders(controller: str) -> list[Path]:
    """This process's cgroup and those above it (version 2), or the controller's one mount of version 1."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    own = next((line[3:] for line in lines if line.startswith("0::")), "/").strip("/")
    folder = _ROOT / own
    return [_ROOT / controller, folder, *(parent for parent in folder.parents if parent.is_relative_to(_ROOT))]


def _quota(folder: Path) -> float:
    try:
        limit, period = (folder / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            limit = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return math.inf
    if limit in ("max", "-1"):
        return math.inf
    return int(limit) / int(period)


def _bytes(folder: Path) -> float:
    for name in ("memory.max", "memory.limit_in_bytes"):
        try:
            limit = (folder / name).read_text().strip()
        except OSError:
            continue
        return math.inf if limit == "max" else int(limit)
    return math.inf
