"""Every benchmark on every installed backend: `python -m benchmarks`, or those named.

With `--out FOLDER` each table is kept in a file of its own, and `python -m benchmarks.summary FOLDER` makes README's.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from keras_sched.backend_choice import installed_backends

NAMES = ("step_overhead", "compiles", "lr_find", "sweep", "schedules", "scaling", "large", "import_time")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "names", nargs="*", choices=[*NAMES, []], metavar="name", help=f"of {', '.join(NAMES)}; all by default"
    )
    parser.add_argument(
        "--backend", action="append", help="may be given more than once; all that are installed by default"
    )
    parser.add_argument("--out", type=Path, help="a folder for the tables, as NAME-BACKEND.txt")
    options = parser.parse_args()
    failed: list[str] = []
    for backend in options.backend or installed_backends():
        for name in options.names or NAMES:
            environment = {**os.environ, "KERAS_BACKEND": backend}
            command = [sys.executable, "-m", f"benchmarks.{name}"]
            done = subprocess.run(command, env=environment, check=False, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own modules
            print(done.stdout, end="", flush=True)
            if done.returncode:
                failed.append(f"{name} on {backend}")
            elif options.out is not None:
                options.out.mkdir(parents=True, exist_ok=True)
                (options.out / f"{name}-{backend}.txt").write_text(done.stdout.lstrip(), encoding="utf-8")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
