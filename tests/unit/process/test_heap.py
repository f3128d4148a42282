from __future__ import annotations

import platform
import resource
import subprocess
import sys

import pytest

from v2t.process.heap import ONE_HEAP

PROGRAM = """
import ctypes, resource, sys
from v2t.process.heap import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
SIZE = 40 * 1024 * 1024  # above the largest size that glibc learns to keep by itself
for turn in range(6):
    if turn == 1:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = libc.malloc(SIZE)
    libc.memset(block, 1, SIZE)
    libc.free(block)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(how: str) -> int:
    command = [sys.executable, "-c", PROGRAM, how]
    return int(subprocess.run(command, env=ONE_HEAP, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc")
def test_large_buffers_are_taken_again_without_the_kernels_help() -> None:
    pages = 5 * 40 * 1024 * 1024 // resource.getpagesize()
    assert page_faults("left alone") > pages / 2
    assert page_faults("kept") < pages / 100
