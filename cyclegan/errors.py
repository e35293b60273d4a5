"""The two kinds of error that a user may see, each one line long.

Everything else that is raised is a defect of the program.
"""

import re


class CycleganError(Exception):
    """Something failed that the program could not prevent. The command ends with exit code 1."""

    exit_code = 1


class UsageError(CycleganError):
    """The request itself is wrong: an option, a configuration, a path. The command ends with exit code 2."""

    exit_code = 2


def first_line(error: BaseException) -> str:
    """What an error of a library says, in one line, without TensorFlow's names of its operations."""
    lines = str(error).splitlines() or [type(error).__name__]
    return re.sub(r"\{\{.*?\}\} ?", "", lines[0])
