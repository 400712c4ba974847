"""The Markdown pages of the project, and what stands in them."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PATHS = [ROOT / name for name in ("README.md", "README.zh-CN.md", "CONTRIBUTING.md")]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in [*PATHS, *sorted(ROOT.glob("docs/**/*.md"))]
}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: str, language: str = "") -> list[str]:
    """The contents of the fenced code blocks in a language."""
    return [content for tag, content in FENCE.findall(page) if tag == language]


def commands(*pages: str) -> list[str]:
    """Lines of the code blocks without a language, joined where they continue, without comments."""
    joined = "\n".join(block.replace("\\\n", " ") for page in pages for block in blocks(page))
    lines = (line.partition(" #")[0].strip() for line in joined.splitlines())
    return sorted({line for line in lines if line})


def rows(text: str, columns: int) -> list[list[str]]:
    """The rows of all tables that have so many columns, as texts of their cells."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in found if len(row) == columns]


def section(page: str, heading: str) -> str:
    """What stands between a heading of the second level and the next."""
    return page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def quoted(text: str) -> list[str]:
    """What stands between backticks on one line, outside of code blocks."""
    return re.findall(r"`([^`\n]+)`", FENCE.sub("", text))


def anchors(page: str) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}
