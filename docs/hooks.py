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
PAGES += [
    "benchmarks/results/cpu/*.txt",
    "tutorials/*.ipynb",
    "tutorials/*.md",
    "tutorials/keras_io/*.py",
    "tutorials/pictures/*",
]
RESULTS = "benchmarks/results/README.md"

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


def on_page_markdown(markdown: str, *, page: Page, files: Files, **_: Any) -> str:
    """Begin the page of the results with what README says of them, and link every table that is kept."""
    if page.file.src_uri != RESULTS:
        return markdown
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    costs = re.search(r"(?ms)^#(# What it costs\n.*?)^## ", readme)
    if costs is None or not markdown.startswith("# Results\n"):
        raise PluginError(f"README.md has no section 'What it costs', or {RESULTS} does not begin with '# Results'.")
    paths = sorted(file.src_uri for file in files if re.fullmatch(r"benchmarks/results/cpu/.*\.txt", file.src_uri))
    links = [f"- [{posixpath.basename(path)}]({posixpath.relpath(path, 'benchmarks/results')})" for path in paths]
    above = costs[1].replace(f"[benchmarks/results]({RESULTS})", "[the files below](#all-tables)")
    return "\n".join([above, "#" + markdown, "## All tables", "", *links])


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
