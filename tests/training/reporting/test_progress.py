import errno
import io
import os
import select
import signal
import subprocess
import sys
import threading

import rich.console

from cyclegan.training.reporting.progress import Progress


def test_lines_from_several_threads_are_each_in_the_log_once(tmp_path):
    progress = Progress(rich.console.Console(file=io.StringIO()), tmp_path / "log.txt")
    start = threading.Barrier(8)

    def write(number):
        start.wait()
        for index in range(200):
            progress.line(f"line {number} {index}")

    threads = [threading.Thread(target=write, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = [line.split("  ", 1)[1] for line in (tmp_path / "log.txt").read_text().splitlines()]
    assert sorted(lines) == sorted(f"line {number} {index}" for number in range(8) for index in range(200))


def test_a_line_that_interrupts_a_line_in_the_same_thread_is_written_too(tmp_path):
    """As a signal does, whose handler runs in the middle of whatever the thread is doing."""

    class Interrupted(list):
        def append(self, text):
            super().append(text)
            if "first" in text:
                progress.line("second")

    progress = Progress(rich.console.Console(file=io.StringIO()), tmp_path / "log.txt")
    progress._pending = Interrupted()
    progress.line("first")
    assert [line.split("  ", 1)[1] for line in (tmp_path / "log.txt").read_text().splitlines()] == ["first", "second"]


def test_lines_that_nobody_reads_are_still_in_the_log_and_end_nothing(tmp_path):
    """A process whose output goes to one that has ended, as `tee` ends at Ctrl-C."""
    program = (
        "import pathlib, rich.console\n"
        "from cyclegan.training.reporting.progress import Progress\n"
        "progress = Progress(rich.console.Console(), pathlib.Path('log.txt'))\n"
        "for number in range(3): progress.line(f'line {number}')"
    )
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, stdout=writing, timeout=60)
    os.close(writing)
    assert done.returncode == 0
    assert (tmp_path / "log.txt").read_text().count("line") == 3


def test_a_name_of_a_file_that_is_not_utf_8_can_be_said(tmp_path):
    output = io.StringIO()
    Progress(rich.console.Console(file=output), tmp_path / "log.txt").line(os.fsdecode(b"Left out: bad\xe9.png"))
    assert output.getvalue() == "Left out: bad\\udce9.png\n"


def test_a_name_of_a_file_cannot_break_a_line_or_command_the_terminal(tmp_path):
    output = io.StringIO()
    progress = Progress(rich.console.Console(file=output), tmp_path / "log.txt")
    progress.line("Left out: a\nb\x1b[31m.png")
    assert output.getvalue() == "Left out: a\\nb\\x1b[31m.png\n"
    assert (tmp_path / "log.txt").read_text().endswith("  Left out: a\\nb\\x1b[31m.png\n")


def test_a_signal_may_write_a_line_while_a_line_waits_for_a_pipe_that_is_full(tmp_path):
    """Python does not let a signal handler write to a stream while a write to the same stream is going on."""
    reading, writing = os.pipe()
    with open(reading, "rb", buffering=0) as reader, open(writing, "w", encoding="utf-8") as writer:
        progress = Progress(rich.console.Console(file=writer), tmp_path / "log.txt")

        def stop(*_):
            progress.line("Stopping.")
            while select.select([reader], [], [], 0)[0]:  # so that the first line goes on
                reader.read(2**16)

        old = signal.signal(signal.SIGALRM, stop)
        signal.setitimer(signal.ITIMER_REAL, 0.1, 0.05)
        try:
            progress.line("x" * 500_000)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, old)
    assert "Stopping." in (tmp_path / "log.txt").read_text()


def test_a_closed_terminal_does_not_end_the_training():
    class Closed(io.StringIO):
        def write(self, text):
            raise OSError(errno.EIO, "Input/output error")

        def isatty(self):
            return True

    progress = Progress(rich.console.Console(file=io.StringIO(), force_terminal=True))
    progress.start(0, 10)
    progress.console.file = Closed()
    progress.stop()
