"""What a process has taken so far."""

import os
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")
TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def tree_seconds(pid: int) -> float:
    """User and system time of a process, of its children, and of those that it waited for."""
    spent = 0.0
    for one in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = one.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        if int(one.parent.name) == pid:
            spent += sum(map(int, fields[11:15])) / TICK
        elif int(fields[1]) == pid:
            spent += sum(map(int, fields[11:13])) / TICK
    return spent


def resident(pid: int | str = "self") -> int:
    """Bytes of memory that a process has in use."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE


def cpu_nanoseconds(pid: int) -> int:
    """Time on a processor of all threads of a process so far, finer than `cpu_seconds`."""
    spent = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        try:
            of_thread = (thread / "schedstat").read_text()
        except OSError:  # it has ended
            continue
        spent += int(of_thread.split()[0])
    return spent
