"""Room on the disk that nobody else can take: blocks of a file beyond its end.

Linux gives them by fallocate(2); readers of the file see nothing of them. Where a system or a file system has no
such thing, nothing is kept, and a full disk shows when it is written to.
"""

import ctypes
import errno
import os
from collections.abc import Callable

KEEP_SIZE = 1  # FALLOC_FL_KEEP_SIZE
NOT_OFFERED = {errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}


def _fallocate() -> Callable[[int, int, int, int], int] | None:
    library = ctypes.CDLL(None, use_errno=True)
    call = getattr(library, "fallocate", None)
    if call is not None:
        call.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return call


_call = _fallocate()


def keep(file: int, size: int) -> bool:
    """Keep room for a file of this size, in bytes; False where that is not offered.

    Raises OSError where there is no room.
    """
    if _call is None:
        return False
    if _call(file, KEEP_SIZE, 0, size) == 0:
        return True
    number = ctypes.get_errno()
    if number in NOT_OFFERED:
        return False
    raise OSError(number, os.strerror(number))


def give_back(file: int, size: int) -> None:
    """Give back what lies behind this size, which is the file's own."""
    os.ftruncate(file, size)
