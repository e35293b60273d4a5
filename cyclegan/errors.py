"""The two kinds of errors that a user may see. Each is one line long.

Any other exception is a defect of the program.
"""

import re


class CycleganError(Exception):
    """An operation failed although the request was right. The command ends with exit code 1."""

    exit_code = 1


class UsageError(CycleganError):
    """The request is wrong: an option, the configuration or a path. The command ends with exit code 2."""

    exit_code = 2


def printable(text: str) -> str:
    r"""The same text in one line that no terminal can misread: control characters become `\n`, `\x1b` and so on.

    So do those that change the direction of writing. Names of files may contain anything but a slash. Bytes in them
    that are not UTF-8 become `\udce9` and so on.
    """
    return re.sub(
        r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]",
        lambda match: match[0].encode("unicode_escape").decode(),
        text,
    )


def first_line(error: BaseException) -> str:
    """The first line of the message of a library's error, without TensorFlow's names of operations."""
    lines = str(error).splitlines() or [type(error).__name__]
    return re.sub(r"\{\{.*?\}\} ?", "", lines[0])
