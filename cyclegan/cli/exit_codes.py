"""The exit codes of commands that a signal has ended. Those of errors are in `cyclegan.errors`."""

INTERRUPTED = 130
"""The code that shells report after Ctrl-C."""

TERMINATED = 143
"""The code that shells report after SIGTERM."""

REQUEUE = 75
"""A training that SIGTERM has ended has saved: EX_TEMPFAIL of sysexits.h, which tells a scheduler to start it again."""
