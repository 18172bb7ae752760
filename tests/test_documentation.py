"""Everything that README and docs name exists: links, files, modules, make targets, keys, options."""

import importlib.util
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from core import config
from core.config import Config
from pipeline.ledger import Reason
from tests.commands import ROOT

PAGES = sorted(
    [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
        *(ROOT / "docs").glob("*.md"),
        ROOT / "deploy/README.md",
        ROOT / "benchmarks/README.md",
    ]
)
FOLDERS = (
    "core pipeline jobs model train evals serve demo docker deploy benchmarks tests configs docs".split()
)
WRITTEN_BY_USERS = {
    "pipeline/filters/heuristics/commas.py",
    "tests/pipeline/filters/heuristics/test_commas.py",
    "docker/secrets/s3.env",
    "docker/secrets/server.env",
    "train/web/part-00007.arrow",
}
"""Files that the reader creates."""
FILE_ENDINGS = (".gz", ".json", ".py")
"""Endings of file names that look like keys, such as ``train.de.gz``."""
THIRD_PARTY = {"venv", "pytest"}
"""Modules run by ``python -m`` that are not ours."""
SHARED_OPTIONS = "".join(path.read_text("utf-8") for path in (ROOT / "core/config").glob("*.py"))
SECTIONS = "|".join(Config.model_fields)


def relative(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.fixture(params=PAGES, ids=relative)
def page(request: pytest.FixtureRequest) -> Path:
    return request.param


def code(text: str) -> str:
    """Inline code and code blocks, with continued lines joined."""
    blocks = re.findall(r"```\w*\n(.*?)```", text, re.S)
    inline = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", re.sub(r"```.*?```", "", text, flags=re.S))
    return "\n".join([*blocks, *inline]).replace("\\\n", " ")


def slugs(page: Path) -> set[str]:
    """Anchors that GitHub gives a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{relative(page)}: link to {target}"
        assert not anchor or anchor in slugs(linked), f"{relative(page)}: no heading for {target}"


def test_files_exist(page: Path) -> None:
    pattern = rf"(?<![\w./-])(?:{'|'.join(FOLDERS)})/[\w./-]+"
    for path in {path.rstrip(".") for path in re.findall(pattern, code(page.read_text("utf-8")))}:
        assert (ROOT / path).exists() or path in WRITTEN_BY_USERS, f"{relative(page)}: no {path}"


def test_modules_can_be_run(page: Path) -> None:
    for name in set(re.findall(r"(?<!\w)-m ([a-z_.]+)", code(page.read_text("utf-8")))) - THIRD_PARTY:
        spec = importlib.util.find_spec(name)
        assert spec is not None, f"{relative(page)}: no module {name}"
        if spec.submodule_search_locations:
            spec = importlib.util.find_spec(f"{name}.__main__")
        assert spec is not None, f"{relative(page)}: {name} has no __main__"
        assert spec.origin is not None
        assert "__main__" in Path(spec.origin).read_text("utf-8") or spec.origin.endswith("__main__.py")


def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    named = set(re.findall(r"\bmake ([a-z][a-z-]*)", code(page.read_text("utf-8"))))
    assert named <= targets, f"{relative(page)}: {named - targets}"


def test_configuration_keys_exist(page: Path) -> None:
    text = code(page.read_text("utf-8"))
    keys = set(re.findall(rf"(?<![\w./-])(?:{SECTIONS})\.[a-z_0-9.]*[a-z_0-9](?![\w/(.]|`?\()", text))
    for key in keys:
        known = key_exists(key) or importable(key) or key.endswith(FILE_ENDINGS) or key in set(Reason)
        assert known, f"{relative(page)}: no key {key}"


def test_toml_blocks_are_valid(page: Path) -> None:
    for block in re.findall(r"```toml\n(.*?)```", page.read_text("utf-8"), re.S):
        tree = tomllib.loads(block)
        if tree.keys() <= Config.model_fields.keys():
            config.parse(tree, Config)


def test_options_exist(page: Path) -> None:
    for program, options in commands(code(page.read_text("utf-8"))):
        source = program.read_text("utf-8") + SHARED_OPTIONS
        for option in options:
            assert f'"{option}"' in source, f"{relative(page)}: {program.name} has no {option}"


def key_exists(key: str) -> bool:
    """True if ``key`` names a section's field; what is below a table with free names is not checked."""
    model: type[BaseModel] = Config
    for part in key.split("."):
        field = model.model_fields.get(part)
        if field is None:
            return False
        if not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            return True
        model = field.annotation
    return True


def importable(name: str) -> bool:
    """True for a module, such as ``train.validate``, which looks like a key."""
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def commands(text: str) -> Iterator[tuple[Path, list[str]]]:
    """Our programs in shell commands, each with the options that follow it."""
    for line in text.splitlines():
        if found := re.search(r"(jobs/\w+\.py|-m ([a-z_.]+))(.*)", line):
            path = found[1] if found[2] is None else found[2].replace(".", "/")
            files = [ROOT / path, ROOT / f"{path}.py", ROOT / path / "__main__.py"]
            program = next((file for file in files if file.is_file()), None)
            if program and found[2] not in THIRD_PARTY:
                yield program, re.findall(r"(?<!\S)--[a-z][a-z-]*", found[3])
