"""``docs/configuration.md`` and the docstrings that it is generated from."""

import re
from collections.abc import Iterator

import pytest

from core.config import Config, FinetuneConfig, Section, TrainConfig, reference
from core.config.loading import subsection
from core.errors import InputError, OutputError
from tests.commands import ROOT

PAGE = ROOT / reference.PATH


def sections(section: type[Section] = Config) -> Iterator[type[Section]]:
    for field in section.model_fields.values():
        if inner := subsection(field):
            yield inner
            yield from sections(inner)


def test_page_is_up_to_date() -> None:
    reference.check(PAGE)


def test_stale_page_is_rejected_with_the_command(tmp_path, capsys) -> None:
    page = tmp_path / "configuration.md"
    reference.main(["--write", str(page)])
    reference.main(["--check", str(page)])
    page.write_text(page.read_text().replace("| integer, ≥ 1 | `1000` |", "| integer, ≥ 1 | `999` |", 1))
    with pytest.raises(InputError, match=r"regenerate it: python -m core\.config\.reference --write .*md$"):
        reference.main(["--check", str(page)])
    reference.main([])
    assert capsys.readouterr().out == PAGE.read_text()


def test_page_that_cannot_be_written_is_one_line(tmp_path) -> None:
    with pytest.raises(OutputError, match=r"Is a directory; check the path$"):
        reference.main(["--write", str(tmp_path)])


@pytest.mark.parametrize("section", dict.fromkeys(sections()), ids=lambda section: section.__name__)
def test_every_key_is_documented(section: type[Section]) -> None:
    assert section.__name__.endswith("Config") and section.__doc__
    documented = reference.field_docstrings(section)
    names = [name for name, field in section.model_fields.items() if not subsection(field)]
    assert [name for name in names if not documented.get(name)] == []


def test_all_sections_and_keys_are_listed() -> None:
    parts = re.split(r"^## \[+([\w.]+)\]+$", PAGE.read_text(), flags=re.M)
    tables = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert {"input", "input.columns", "classifier.sets", "finetune.lora", "serve"} <= set(tables)
    assert set(Config.model_fields) <= set(tables)
    listed = set(re.findall(r"^\| `(\w+)` \|", tables["finetune"], flags=re.M))
    tables_of_their_own = {"lora", "mixture_schedule", "batch_size_schedule"}
    assert listed == set(FinetuneConfig.model_fields) - tables_of_their_own
    assert listed > set(TrainConfig.model_fields) - tables_of_their_own


def test_rows_show_type_bounds_and_default() -> None:
    page = PAGE.read_text()
    assert '| `split_bytes` | size, ≥ 65_536 | `"128MiB"` |' in page
    assert "| `validation_share` | number, ≥ 0, < 1 | `0.01` |" in page
    assert '| `precision` | one of `"auto"`, `"float32"`, `"bfloat16"` | `"auto"` |' in page
    assert "| `files` | list of strings or pairs of strings | `[]` |" in page
    assert "| `name` | string | required |" in page
