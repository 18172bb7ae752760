"""Size and shape of the source: files, functions, imports between folders, cycles, duplicated runs.

``python benchmarks/structure.py [REVISION …]`` (or ``make stats``) prints one column per git revision and one
for the working tree, so that a change to the layout can be judged by numbers. Tests are not counted.
"""

import argparse
import ast
import statistics
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[1]
PACKAGES = ("core", "pipeline", "jobs", "model", "train", "evals", "serve", "demo")
DUPLICATE_LINES = 6
"""Consecutive code lines that two places must share to count as a duplicated run."""

Sources = Mapping[PurePosixPath, str]
"""Path of each Python file, and its content."""


@dataclass(frozen=True)
class Structure:
    """Measurements of one revision."""

    files: dict[str, int]
    """Python files per folder."""
    lines: list[int]
    functions: list[int]
    """Lines of each function."""
    arrows: set[tuple[str, str]]
    """Imports between folders (importer, imported), of our own packages."""
    cycles: list[list[str]]
    """Groups of modules that import each other."""
    duplicates: int


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("revisions", nargs="*", help="git revisions to compare the working tree with")
    columns = {name: measure(at_revision(name)) for name in parser.parse_args().revisions}
    columns["working tree"] = measure(working_tree())
    rows = table(columns)
    for number, row in enumerate([["", *columns], *rows]):
        print("| " + " | ".join(row) + " |")
        if number == 0:
            print("|---|" + "--:|" * len(columns))


def working_tree() -> Sources:
    """Python files of our packages as they are on disk."""
    paths = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    return {PurePosixPath(path.relative_to(ROOT).as_posix()): path.read_text("utf-8") for path in paths}


def at_revision(revision: str) -> Sources:
    """Python files of our packages in a git revision."""
    listed = _git("ls-tree", "-r", "--name-only", revision, *PACKAGES).splitlines()
    paths = [path for path in listed if path.endswith(".py")]
    return {PurePosixPath(path): _git("show", f"{revision}:{path}") for path in paths}


def measure(sources: Sources) -> Structure:
    """Measure a set of files."""
    trees = {path: ast.parse(source) for path, source in sources.items()}
    modules = {_module(path): path for path in sources}
    imports = {
        module: set(_imported(trees[path], modules)) - {module} for module, path in sorted(modules.items())
    }
    folder = {module: str(path.parent) for module, path in modules.items()}
    return Structure(
        files=dict(Counter(str(path.parent) for path in sources)),
        lines=[source.count("\n") for source in sources.values()],
        functions=[
            (node.end_lineno or node.lineno) - node.lineno + 1
            for tree in trees.values()
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        ],
        arrows={
            (folder[importer], folder[imported])
            for importer, targets in imports.items()
            for imported in targets
            if folder[importer] != folder[imported]
        },
        cycles=_cycles(imports),
        duplicates=_duplicated_runs(sources),
    )


def table(columns: Mapping[str, Structure]) -> list[list[str]]:
    """Rows of the table: a label, then a value for each column."""

    def row(label: str, values: Iterator[object]) -> list[str]:
        return [label, *(f"{value:,}" if isinstance(value, int) else str(value) for value in values)]

    every = list(columns.values())
    rows = [
        row("Python files", (len(each.lines) for each in every)),
        row("lines", (sum(each.lines) for each in every)),
        row("folders", (len(each.files) for each in every)),
        row("files in the fullest folder", (max(each.files.values()) for each in every)),
        row("folders with more than 12 files", (sum(n > 12 for n in each.files.values()) for each in every)),
        row("lines per file, median", (int(statistics.median(each.lines)) for each in every)),
        row("lines of the longest file", (max(each.lines) for each in every)),
        row("files over 400 lines", (sum(n > 400 for n in each.lines) for each in every)),
        row("functions", (len(each.functions) for each in every)),
        row("lines per function, median", (int(statistics.median(each.functions)) for each in every)),
        row("lines of the longest function", (max(each.functions) for each in every)),
        row("functions over 60 lines", (sum(n > 60 for n in each.functions) for each in every)),
        row("import arrows between top-level packages", (len(_top_level(each)) for each in every)),
        row("import arrows between folders", (len(each.arrows) for each in every)),
        row("import cycles between modules", (len(each.cycles) for each in every)),
        row(f"duplicated runs of {DUPLICATE_LINES} lines", (each.duplicates for each in every)),
    ]
    folders = sorted({folder for each in every for folder in each.files})
    return rows + [
        row(f"files in `{folder}/`", (each.files.get(folder, "") for each in every)) for folder in folders
    ]


def _top_level(structure: Structure) -> set[tuple[str, str]]:
    ends = {
        (importer.partition("/")[0], imported.partition("/")[0]) for importer, imported in structure.arrows
    }
    return {(importer, imported) for importer, imported in ends if importer != imported}


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout


def _module(path: PurePosixPath) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(tree: ast.Module, modules: Mapping[str, PurePosixPath]) -> Iterator[str]:
    """Modules of ours that are imported when the module itself is."""
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name in modules)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for name in node.names:
                inner = f"{node.module}.{name.name}"
                if inner in modules:
                    yield inner
                elif node.module in modules:
                    yield node.module


def _cycles(imports: Mapping[str, set[str]]) -> list[list[str]]:
    """Strongly connected components of more than one module (Tarjan 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for target in imports[module]:
            if target not in index:
                visit(target)
                low[module] = min(low[module], low[target])
            elif target in stack:
                low[module] = min(low[module], index[target])
        if low[module] == index[module]:
            component = [stack.pop()]
            while component[-1] != module:
                component.append(stack.pop())
            if len(component) > 1:
                found.append(sorted(component))

    for module in imports:
        if module not in index:
            visit(module)
    return found


def _duplicated_runs(sources: Sources) -> int:
    """Maximal runs of at least :data:`DUPLICATE_LINES` code lines that occur at two places or more."""
    places: dict[tuple[str, ...], list[tuple[PurePosixPath, int]]] = defaultdict(list)
    for path, source in sources.items():
        lines = [" ".join(line.split()) for line in source.splitlines()]
        code = [
            line
            for line in lines
            if line.strip("()[]{},:") and not line.startswith(("#", "import ", "from "))
        ]
        for start in range(len(code) - DUPLICATE_LINES + 1):
            places[tuple(code[start : start + DUPLICATE_LINES])].append((path, start))
    repeated = {place for found in places.values() if len(found) > 1 for place in found[1:]}
    return sum((path, start - 1) not in repeated for path, start in repeated)


if __name__ == "__main__":
    main()
