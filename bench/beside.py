"""python -m bench.beside [CHECKOUT …] [--rounds N] [ROW …]: this proxy, and those of other checkouts, beside bare mitmproxy.

For whoever changes what a call costs: the figures of one run, before and after. A row is
chosen by a word of its name; each other checkout must have the virtual environment's packages.
"""

import os
import sys
from pathlib import Path

from bench.contest import ROWS
from bench.entrants import BARE, Entrants, measured
from bench.load import spread


def main() -> None:
    """Read the command line, measure in a folder of its own, print."""
    words, rounds = sys.argv[1:], 7
    if "--rounds" in words:
        at = words.index("--rounds")
        rounds = int(words[at + 1])
        del words[at : at + 2]
    trees = [Path(word).resolve() for word in words if "/" in word]
    names = [word for word in words if "/" not in word]
    rows = [row for row in ROWS if not names or any(name in row.name for name in names)]

    def enter(entrants: Entrants) -> None:
        entrants.bare()
        for tree in trees:
            entrants.checkout(tree)
        entrants.checkout()

    taken = measured(enter, rows, rounds)
    print(f"load {os.getloadavg()[0]:.1f}; min / median / max of {rounds} rounds, CPU ms; × bare")  # fmt: skip
    for name, of_row in taken.items():
        print(name)
        for who, values in of_row.items():
            pairs = zip(values, of_row[BARE], strict=True)
            ratio = spread([one / other for one, other in pairs])
            print(f"    {who:16} {spread(values)}   × {ratio}")


if __name__ == "__main__":
    main()
