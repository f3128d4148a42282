"""Programs that a process runs and that end with it."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence

_PR_SET_PDEATHSIG = 1  # linux/prctl.h

_BLOCK_BYTES = 64 * 1024

_TOLD = re.compile(
    r"PATH|HOME|LANG|TZ|TMPDIR|LD_LIBRARY_PATH|LC_\w+|OMP_\w+|GOMP_\w+|GGML_\w+|CUDA_\w+|NVIDIA_\w+|HIP_\w+|ROCR_\w+|VK_\w+"
)
"""Variables that a program of others may need to run and to find its processors; no secret has such a name."""


def plain_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What of an environment a program of others is told: nothing that could be a secret of v2t."""
    return {name: value for name, value in environment.items() if _TOLD.fullmatch(name)}


def run_program(argv: Sequence[str], on_line: Callable[[str], object]) -> int:
    """Run a program inside a confined child (v2t.process.child), whose confinement it inherits, until it ends.

    It blocks. The program is in the child's group of processes, and ends with it.

    Args:
        argv: the program and its words.
        on_line: called with each line that it writes to stderr; what it writes to stdout is dropped.

    Returns:
        Its exit code; that of a signal is negative.

    Raises:
        OSError: it cannot be run.
    """
    with subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=plain_environment(os.environ),
        preexec_fn=death_signal(os.getpid()),  # noqa: PLW1509 - it only makes system calls
    ) as process:
        assert process.stderr is not None
        for line in _lines(process.stderr.fileno()):
            on_line(line)
        return process.wait()


def death_signal(parent: int) -> Callable[[], None]:
    """What a new process does before its program: have itself killed when the thread of `parent` that made it ends."""
    libc = ctypes.CDLL(None)  # loaded before the fork: after it, only system calls are safe

    def before_exec() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return before_exec


def _lines(descriptor: int) -> Iterator[str]:
    """What comes until the end, line by line; a line that does not end is cut."""
    rest = b""
    while block := os.read(descriptor, _BLOCK_BYTES):
        *whole, rest = re.split(rb"[\r\n]+", rest + block)
        rest = rest[-_BLOCK_BYTES:]
        yield from (line.decode("utf-8", errors="replace") for line in whole if line.strip())
    if rest.strip():
        yield rest.decode("utf-8", errors="replace")
