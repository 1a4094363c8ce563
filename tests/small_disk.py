"""A disk that can be filled and emptied: a real one where one may be mounted, else a limit on the size of files."""

import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class SmallDisk:
    """A file system of a few megabytes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def fill(self) -> None:
        with (self.path / "ballast").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                return

    def free(self) -> None:
        (self.path / "ballast").unlink(missing_ok=True)


class LimitedFiles(SmallDisk):
    """No file may grow while it is full."""

    def fill(self) -> None:
        grown = max(file.stat().st_size for file in self.path.glob("*-wal"))
        resource.setrlimit(resource.RLIMIT_FSIZE, (grown, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

    def free(self) -> None:
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


@contextmanager
def small_disk(path: Path, size: str = "4m") -> Iterator[SmallDisk]:
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(path)]
    mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    disk = SmallDisk(path) if mounted else LimitedFiles(path)
    try:
        yield disk
    finally:
        disk.free()
        if mounted:
            subprocess.run(["umount", "--lazy", str(path)], check=True)
