"""Hooks of `make docs`: files outside docs/ become pages of the site, and links to them lead to these pages.

MkDocs reads only docs/, and warns of links that leave it. The texts here are written for readers of the repository,
where a link from docs/ to ../CHANGELOG.md is right; the hooks translate such links for the site.
"""

import pathlib
import posixpath
import re

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = pathlib.Path(__file__).parents[1]
PAGES = {
    "README.md": "readme.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "tests/golden/README.md": "golden-values.md",
}
"""Files outside docs/, by their paths in the repository, and their pages."""

SOURCES = {page: source for source, page in PAGES.items()}
RELATIVE_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|[#/])([^)#\s]+)")
"""The target of a Markdown link, without its #anchor, if it is a relative path."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Lists all decision records in the navigation."""
    records = sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))
    for section in config.nav or []:
        if "Decisions" in section:
            section["Decisions"] = ["decisions/README.md", *(f"decisions/{path.name}" for path in records)]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the files outside docs/."""
    for source, page in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turns links between files of the repository into links between pages."""
    here = page.file.src_uri
    source = SOURCES.get(here, f"docs/{here}")

    def to_page(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link[0]))
        if (ROOT / target / "README.md").is_file():
            target += "/README.md"
        if target not in PAGES and not target.startswith("docs/"):
            return link[0]  # MkDocs warns of it
        return posixpath.relpath(PAGES.get(target, target.removeprefix("docs/")), posixpath.dirname(here) or ".")

    return RELATIVE_LINK.sub(to_page, markdown)
