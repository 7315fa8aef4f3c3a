"""What user code prints carries what it was printed for, line by line."""

from __future__ import annotations

import os
import threading

from hive.training.prints import CONTEXT_END, Prints


class At:
    """A program that is somewhere, and a stream that it prints to."""

    def __init__(self) -> None:
        self.at = ""
        self.read_end, write_end = os.pipe()
        self.stream = Prints(write_end, lambda: self.at)
        self.write_end = write_end

    def written(self) -> str:
        self.stream.flush()
        os.close(self.write_end)
        with os.fdopen(self.read_end, encoding="utf-8", newline="") as pipe:
            return pipe.read()


def test_each_line_begins_with_what_the_program_was_at_when_it_began() -> None:
    program = At()
    print("loading", file=program.stream)
    program.at = "node 5 trial 3 step 42"
    print("loss", 0.5, file=program.stream)
    print("a\n\nb", end="", file=program.stream)
    program.at = "node 5 trial 3 step 43"
    print("c", file=program.stream)
    told = f"node 5 trial 3 step 42{CONTEXT_END}"
    assert program.written() == f"loading\n{told}loss 0.5\n{told}a\n{told}\n{told}bc\n"


def test_text_that_is_no_unicode_is_written_in_a_way_that_can_be_read() -> None:
    program = At()
    print("\udc80", file=program.stream)
    assert program.written() == "\\udc80\n"


def test_lines_of_several_threads_stay_whole() -> None:
    program = At()
    threads = [
        threading.Thread(target=lambda: [program.stream.write("x" * 40 + "\n") for _ in range(20)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(program.written().splitlines()) == {"x" * 40}
