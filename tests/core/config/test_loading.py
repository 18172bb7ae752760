import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from core import config
from core.config.loading import subsection
from core.config.renamed import RENAMED
from core.errors import ConfigError


def test_file_and_overrides_apply_in_order(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text('[input]\npaths = ["a.warc.gz"]\n[train]\nsteps = 7\n')
    loaded = config.load(str(path), ["train.steps=8", "train.steps=9", "output.path=out", "dedup.near=false"])
    assert loaded.input.paths == ("a.warc.gz",)
    assert loaded.train.steps == 9
    assert loaded.output.path == "out"
    assert loaded.dedup.near is False


def test_override_takes_toml_lists_and_quoted_keys():
    loaded = config.load(None, ['input.paths=["a","s3://bucket/b"]', 'filters.thresholds."x.y"=20'])
    assert loaded.input.paths == ("a", "s3://bucket/b")
    assert loaded.filters.thresholds == {"x.y": 20.0}


FILTERS = """
[filters]
preset = "gopher"
languages = ["en"]
mask_pii = false
thresholds = { "gopher.few_words" = 5, "c4.few_sentences" = 2 }
"""


@pytest.mark.parametrize(
    ("overrides", "thresholds", "languages"),
    [
        ([], {"gopher.few_words": 5, "c4.few_sentences": 2}, ("en",)),
        (["filters.preset=gopher"], {"gopher.few_words": 5, "c4.few_sentences": 2}, ("en",)),
        (["filters.preset=c4"], {}, ()),
        (["filters.preset=none"], {}, ()),
        (['filters.thresholds."a.b"=1', "filters.preset=c4"], {"a.b": 1}, ()),
        (["filters.preset=c4", 'filters.languages=["de"]'], {}, ("de",)),
        (
            ["filters.preset=c4", "filters.preset=gopher"],
            {"gopher.few_words": 5, "c4.few_sentences": 2},
            ("en",),
        ),
        (["filters.thresholds={}"], {}, ("en",)),
        (["filters.thresholds={}", 'filters.thresholds."a.b"=1'], {"a.b": 1}, ("en",)),
        (
            ['filters.thresholds={"gopher.few_words" = 7}'],
            {"gopher.few_words": 7, "c4.few_sentences": 2},
            ("en",),
        ),
    ],
)
def test_another_preset_leaves_the_thresholds_and_languages_of_the_file(
    tmp_path, overrides, thresholds, languages
):
    path = tmp_path / "run.toml"
    path.write_text(FILTERS)
    filters = config.load(str(path), overrides).filters
    assert (filters.thresholds, filters.languages, filters.mask_pii) == (thresholds, languages, False)


def test_none_keeps_everything_whatever_the_file_has(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text(FILTERS.replace('"gopher"', '"none"'))
    assert config.load(str(path)).filters.languages == ("en",)
    filters = config.load(str(path), ["filters.preset=none"]).filters
    assert (filters.thresholds, filters.languages) == ({}, ())


def test_presets_of_files_that_name_none_are_the_default(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text('[filters]\nlanguages = ["en"]\n')
    assert config.load(str(path), ["filters.preset=fineweb"]).filters.languages == ("en",)
    assert config.load(str(path), ["filters.preset=c4"]).filters.languages == ()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.step=1", "train.step: no such key; the nearest valid name is train.steps"),
        ("train.batch-size=1", "the nearest valid name is train.batch_size"),
        ("trian.steps=1", "trian: no such key; the nearest valid name is train"),
        ("foo.bar=1", "the nearest valid name is model; sections: input, output, extraction, "),
        ("train.num_layers=4", "train.num_layers: no such key; did you mean model.num_layers?"),
        ("steps.x=1", "steps: no such key; did you mean train.steps or finetune.steps?"),
        ("input.columns.txt=a", "the nearest valid name is input.columns.text"),
        ('classifier.sets=[{nam="a"}]', "classifier.sets[0].nam: no such key; the nearest valid name is "),
    ],
)
def test_unknown_keys_are_rejected(override, message):
    _is_rejected(override, message)


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_renamed_keys_are_rejected_with_the_new_name(tmp_path, old, new):
    _is_rejected(f"{old}=1", f"{old} is now {new}; rename the key")
    section, key = old.split(".")
    for text in (f"{old} = 1\n", f"[{section}]\n{key} = 1\n", f"{section} = {{ {key} = 1 }}\n"):
        path = tmp_path / "old.toml"
        path.write_text(text)
        with pytest.raises(ConfigError, match=rf"^{old} is now {new}; rename the key"):
            config.load(str(path))


def test_new_names_exist():
    for name in RENAMED.values():
        section, key = name.split(".")
        inner = subsection(config.Config.model_fields[section])
        assert inner and key in inner.model_fields


def test_value_of_another_meaning_is_converted_by_the_user():
    _is_rejected("classifier.held_out=10", "rename the key and write a fraction: 0.1 instead of 10")


def test_configuration_is_frozen():
    with pytest.raises(ValidationError):
        config.load(None).train.steps = 3  # type: ignore[misc]


def test_required_keys():
    loaded = config.load(None, ["output.path=out"])
    config.require(loaded, "output.path")
    with pytest.raises(ConfigError, match=r"^finetune\.model is empty: it must be given"):
        config.required("output.path", "finetune.model")(loaded)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_string_survives_as_an_override(text):
    quoted = "".join(f"\\U{ord(character):08x}" for character in text)
    assert config.load(None, [f'output.path="/{quoted}"']).output.path == f"/{text}"
    assert config.load(None, [f"output.path=/{text}\x7f"]).output.path == f"/{text}\x7f"


def _is_rejected(override, message):
    with pytest.raises(ConfigError, match=r"^[^\n]*$") as caught:
        config.load(None, [override])
    assert message in str(caught.value)
