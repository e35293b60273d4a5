import io
import os
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
