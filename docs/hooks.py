"""Lets the site hold the pages that stand elsewhere in the repository, under the paths they have there.

So a link from one page to another works on the site and where the repository itself is read.
"""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
PAGES = ["*.md", "LICENSE", "pictures/*", "tutorials/*.ipynb", "tutorials/*.md", "tutorials/pictures/*"]


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the repository's own pages and pictures to those of `docs/`."""
    for pattern in PAGES:
        for path in sorted(ROOT.glob(pattern)):
            files.append(File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)))
    return files
