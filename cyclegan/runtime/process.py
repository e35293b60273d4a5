"""Who this process is among the processes that train one model together, and how it waits for the others.

Everything that must happen once, such as writing to the run directory, asks here. A process that trains alone is the
chief, and it never waits.
"""

from typing import NamedTuple


class Process(NamedTuple):
    """One of the processes that train together.

    Attributes:
        rank: the number of this process, counted from 0.
    """

    rank: int

    @property
    def is_chief(self) -> bool:
        """Whether this process decides for all of them, and is the only one that writes to the run directory."""
        return self.rank == 0

    def barrier(self) -> None:
        """Returns when all processes have called it, which is at once in a process that trains alone."""


ALONE = Process(rank=0)
"""A process that trains without others."""
