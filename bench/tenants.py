"""python -m bench.tenants COUNT: load so many tenants, half with rules of their own; print seconds, ms for each one's first call, MB."""

import sys
import time

from bench.process import resident
from rules.evaluate import evaluate
from rules.exchange import Exchange, Part
from rules.load import Library
from rules.sources import shipped

RULES = """earthflow: 1
rules:
  - id: t{n}.project
    message: A project name of tenant {n}
    action: redact
    match: {{regex: '\\bPROJ{n}-[0-9]{{3,5}}\\b'}}
  - id: t{n}.words
    message: Words of tenant {n}
    action: flag
    match: {{keywords: [codename{n} alpha, codename{n} beta]}}
overrides:
  personal.email: {{mode: "off"}}
"""


def main(count: int) -> None:
    """Measure, print, end."""
    Library(shipped()).rulebook("default")
    before, began = resident(), time.perf_counter()
    own = {
        f"tenants/t{number}.yaml": RULES.format(n=number)
        for number in range(0, count, 2)
    }
    library = Library({**shipped(), **own})
    library.rulebook("default")
    loaded = time.perf_counter() - began
    began = time.perf_counter()
    exchange = Exchange(parts=(Part("see PROJ2-1234", "user", "text", 0),))
    for number in range(min(count, 1000)):
        evaluate(library.rulebook("default", f"t{number}"), exchange)
    each = (time.perf_counter() - began) * 1000 / min(count, 1000)
    print(f"{loaded:.2f} {each:.2f} {(resident() - before) / 1e6:.0f}")


if __name__ == "__main__":
    main(int(sys.argv[1]))
