"""Lets the site hold the pages that stand elsewhere in the repository, under the paths they have there.

So a link from one page to another works on the site and where the repository itself is read.
"""

import posixpath
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

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


def on_page_content(html: str, *, page: Page, files: Files, **_: Any) -> str:
    """Lead the links of a notebook to the site's pages: the builder does so for Markdown alone."""
    source = page.file.src_uri
    if not source.endswith(".ipynb"):
        return html

    def to_page(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link[1]))
        if target == source:
            return link[0]  # the notebook itself, which is beside its page
        found = files.get_file_from_path(target)
        if found is None:
            raise PluginError(f"{source} links to {link[1]}, which is not on the site.")
        return f'href="{found.url_relative_to(page.file)}{link[2] or ""}"'

    return re.sub(r'href="(?![a-z]+:)([^"#?]+\.(?:ipynb|md|py))(#[^"]*)?"', to_page, html)
