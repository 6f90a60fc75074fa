"""What `import keras_sched` adds to `import keras`, each in fresh processes, interleaved."""

import argparse
import subprocess
import sys

from benchmarks.side_by_side import interleaved, median_and_spread, report

SOURCE = """
import sys, time
import keras
before = set(sys.modules)
began = time.perf_counter()
import keras_sched
print(time.perf_counter() - began)
heavy = {"matplotlib", "scipy", "pandas"} & (set(sys.modules) - before)
assert not heavy, heavy
"""


def added() -> float:
    """Seconds that a fresh process spends in `import keras_sched`, after `import keras`."""
    done = subprocess.run([sys.executable, "-c", SOURCE], capture_output=True, text=True, check=True)  # noqa: S603 - our own source
    return float(done.stdout.split()[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    added()  # the files are read once before
    numbers = interleaved({"keras_sched": added}, options.rounds)
    milliseconds = [1e3 * number for number in numbers["keras_sched"]]
    columns = ["import", "ms after keras", "lower quartile", "upper quartile"]
    report("import_time", columns, [["keras_sched", *median_and_spread(milliseconds)]], goal="at most 50 ms")


if __name__ == "__main__":
    main()
