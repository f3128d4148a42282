"""How a child's heap behaves, where the C library is glibc; elsewhere all of this does nothing."""

from __future__ import annotations

import ctypes

ONE_HEAP = {"MALLOC_ARENA_MAX": "1"}
"""Variables for a child whose native threads allocate in turn: with a heap for each thread, `keep_freed_memory` reaches
the first one only."""

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # M_… of malloc.h
_KEPT_BYTES = 256 * 1024 * 1024


def keep_freed_memory() -> None:
    """Keep freed memory for the next call instead of giving it back to the system, up to 256 MiB.

    An engine frees and takes the same large buffers for every 30 s of audio. Left alone, glibc maps and unmaps each of
    them, and the kernel clears 600 MB of pages for an 11 s clip: a quarter of the engine's time. Called after the model
    is loaded, since the buffers of loading are taken only once. See mallopt(3).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
