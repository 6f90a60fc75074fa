"""Lets the site hold the pages that stand elsewhere in the repository, under the paths they have there.

So a link from one page to another works on the site and where the repository itself is read.
"""

import shutil
import tempfile
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig

ROOT = Path(__file__).parents[1]
# README.md is for those who read the repository: the site's first page is docs/index.md.
PAGES = ["ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "benchmarks/results/*.md"]
PAGES += ["tutorials/*.ipynb", "tutorials/*.md", "tutorials/keras_io/*.py", "tutorials/pictures/*"]

# Removed when the builder exits.
_together = tempfile.TemporaryDirectory(prefix="keras-sched-site-")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Build from a folder that holds the repository's own pages and pictures beside those of `docs/`."""
    folder = Path(_together.name)
    shutil.copytree(config.docs_dir, folder, dirs_exist_ok=True)
    for path in (path for pattern in PAGES for path in ROOT.glob(pattern)):
        (folder / path.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, folder / path.relative_to(ROOT))
    config.docs_dir = str(folder)
    return config
