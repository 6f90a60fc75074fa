"""Every benchmark on every installed backend: `python -m benchmarks`, or those named."""

import argparse
import os
import subprocess
import sys

from keras_sched.backend_choice import installed_backends

NAMES = ("step_overhead", "compiles", "lr_find", "schedules", "scaling", "import_time")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "names", nargs="*", choices=[*NAMES, []], metavar="name", help=f"of {', '.join(NAMES)}; all by default"
    )
    parser.add_argument(
        "--backend", action="append", help="may be given more than once; all that are installed by default"
    )
    options = parser.parse_args()
    failed: list[str] = []
    for backend in options.backend or installed_backends():
        for name in options.names or NAMES:
            environment = {**os.environ, "KERAS_BACKEND": backend}
            command = [sys.executable, "-m", f"benchmarks.{name}"]
            if subprocess.run(command, env=environment, check=False).returncode:  # noqa: S603 - our own modules
                failed.append(f"{name} on {backend}")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
