import io
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
