"""Writes the pages, or with --check says which are out of date: `scripts/pages [--check] [NAME ...]`."""

import argparse
import importlib
import pkgutil
import sys
from pathlib import Path

import docpages

DOCS = Path(__file__).parents[2] / "docs"


def main() -> None:
    names = [module.name for module in pkgutil.iter_modules(docpages.__path__) if module.name != "__main__"]
    parser = argparse.ArgumentParser(
        prog="scripts/pages", description="Write the pages of docs/ that are made from the code."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"all by default: {', '.join(names)}")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a page is out of date")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(names):
        parser.error(f"no page is called {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    stale = []
    for name in arguments.names or names:
        path = DOCS / f"{name}.md"
        text = importlib.import_module(f"docpages.{name}").page()
        if not arguments.check:
            path.write_text(text, encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != text:
            stale.append(path.name)
    if stale:
        sys.exit(f"out of date: {', '.join(stale)}; run scripts/pages")


if __name__ == "__main__":
    main()
