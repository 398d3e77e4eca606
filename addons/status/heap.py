"""The C library's heap, told to give back what is free. Python's objects, hyperscan and RE2 live on it.

glibc keeps an arena for each thread, and after one large body serves others of that size from
its heap, where small pieces between them hold the pages: a proxy that has seen some calls of
2 MB kept 40 MB. Another C library is left as it is.
"""

import asyncio
import ctypes
from typing import Any

# mallopt(3)
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
# Bytes: a piece of this size is mapped by itself, and given back when it is freed; so is what is free at
# the end of the heap. To map a body, its texts and its copies anew for each call costs more than to read it.
LARGE, FREE = 1024 * 1024, 8 * 1024 * 1024
TRIM_SECONDS = 60.0


def _glibc() -> Any:
    library = ctypes.CDLL(None)
    return library if hasattr(library, "malloc_trim") else None


_library = _glibc()


def tune() -> None:
    """Keep one arena, and map what is large. Call before the first thread."""
    if _library is not None:
        _library.mallopt(M_ARENA_MAX, 1)
        _library.mallopt(M_MMAP_THRESHOLD, LARGE)
        _library.mallopt(M_TRIM_THRESHOLD, FREE)


def trim() -> None:
    """Give back all whole pages that are free."""
    if _library is not None:
        _library.malloc_trim(0)


async def keep_trimmed() -> None:
    """Do so now, since rules were compiled, and once a minute, until cancelled."""
    while True:
        await asyncio.to_thread(trim)
        await asyncio.sleep(TRIM_SECONDS)
