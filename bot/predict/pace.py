"""The pace of prefill: how many rows a chunk may have so that running replies are not kept waiting."""


class Pace:
    """How long a row takes with so many threads; with others, what is expected: the governor tries some now and
    then, and what was measured at its last trial was of a shorter context."""

    def __init__(self) -> None:
        self._threads, self._row_s = 1, 0.004

    def note(self, threads: int, rows: int, seconds: float) -> None:
        """A chunk of so many rows took so long. What is slower counts at once, what is faster by half."""
        took = seconds / rows
        self._threads, self._row_s = threads, max(took, (took + self._expected(threads)) / 2)

    def rows(self, threads: int, seconds: float) -> int:
        """How many rows fit into so long."""
        return int(seconds / self._expected(threads))

    def _expected(self, threads: int) -> float:
        """Fewer threads take longer in proportion; more may be no quicker."""
        return self._row_s * max(1.0, self._threads / threads)
