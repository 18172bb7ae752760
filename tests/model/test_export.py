"""Loading models of all formats, and exporting them."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers
from torch import Tensor

from core import manifest, storage
from core.errors import ConfigError, GristmillError, InputError, ManifestError, MismatchError, OutputError
from core.tokenizer import SentencePieceTokenizer
from core.tokenizer.chat import Message
from model import export
from model.formats import huggingface
from model.loading import LoadedModel, load
from model.transformer import Transformer
from tests.train.folder import Folder
from tests.train.shard_maker import Kind, small_run
from train import sample
from train.loop import train
from train.parallel import World

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`")  # peft reads it
CONVERSATION = [Message("user", "The mill?"), Message("assistant", "It turns."), Message("user", "Why?")]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, packed: Path, world: World) -> Folder:
    """Train a run of two steps."""
    result = Folder(tmp_path_factory.mktemp("run"), packed)
    train(result.config("train.steps=2"), world)
    return result


@pytest.fixture(scope="module")
def trained(run: Folder) -> LoadedModel:
    return load(str(run.output))


@pytest.fixture(scope="module")
def exported(run: Folder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "model"
    export.main(["--model", str(run.output), "--to", str(folder)])
    return folder


def tokens(loaded: LoadedModel) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(loaded.model.config.vocabulary_size, (2, 20), generator=generator)


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_run_folders_are_loaded(run: Folder, trained: LoadedModel) -> None:
    assert trained.name == "out"
    assert trained.model.config.context == 32
    assert not any(weight.requires_grad for weight in trained.model.parameters())
    assert not trained.model.training
    assert trained.facts["format"] == "checkpoint"
    assert (trained.facts["step"], trained.facts["learning_rate"]) == (2, 3e-3)
    low = load(str(run.output), dtype=torch.bfloat16).model
    assert {weight.dtype for weight in low.parameters()} == {torch.bfloat16}


def test_export_preserves_the_model(trained: LoadedModel, exported: Path) -> None:
    again = load(str(exported))
    assert again.model.config == trained.model.config
    state = again.model.state_dict()
    assert all(torch.equal(state[name], weight) for name, weight in trained.model.state_dict().items())
    assert isinstance(again.tokenizer, SentencePieceTokenizer)
    assert again.tokenizer.sha256 == trained.tokenizer.sha256
    assert again.chat.prompt(CONVERSATION) == trained.chat.prompt(CONVERSATION)
    assert again.facts["origin_sha256"] == trained.sha256
    assert again.facts["format"] == "checkpoint"
    assert again.facts["learning_rate"] == 3e-3


@pytest.mark.parametrize("kind", ["unigram", "byte-bpe", "char"])
def test_every_kind_of_tokenizer_is_trained_with_and_exported(
    kind: Kind, tmp_path: Path, world: World
) -> None:
    small_run(str(tmp_path / "packed"), kind, vocabulary_size=304)
    made = Folder(tmp_path, tmp_path / "packed")
    train(made.config("train.steps=1", "train.warmup_steps=0"), world)
    trained = load(str(made.output))
    export.main(["--model", str(made.output), "--to", str(tmp_path / "model")])
    again = load(str(tmp_path / "model"))
    assert type(again.tokenizer) is type(trained.tokenizer)
    assert again.tokenizer.sha256 == trained.tokenizer.sha256 == again.facts["tokenizer_sha256"]
    assert again.chat.prompt(CONVERSATION) == trained.chat.prompt(CONVERSATION)
    peer: Any = transformers.AutoTokenizer.from_pretrained(tmp_path / "model")
    assert peer.encode("The mill ▁") == [1, *trained.tokenizer.encode("The mill ▁")]


def test_variants_of_the_architecture_are_trained_and_exported(
    packed: Path, tmp_path: Path, world: World
) -> None:
    made = Folder(tmp_path, packed)
    variant = (
        "model.qk_norm=true",
        "model.sliding_window=8",
        "model.global_layers=[1]",
        "model.head_size=24",
    )
    train(made.config("train.steps=1", "train.warmup_steps=0", *variant), world)
    trained = load(str(made.output))
    export.main(["--model", str(made.output), "--to", str(tmp_path / "model")])
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert isinstance(model, transformers.Qwen3ForCausalLM)
    with torch.inference_mode():
        expected = trained.model(tokens(trained))
        torch.testing.assert_close(model(tokens(trained)).logits, expected, atol=1e-5, rtol=1e-5)
    with pytest.raises(InputError, match=r"sliding_window = 8: llama\.cpp has no such architecture"):
        export.main(["--model", str(made.output), "--to", str(tmp_path / "gguf"), "--format", "gguf"])
    assert not (tmp_path / "gguf").exists()


def test_gguf_export_preserves_model_and_tokenizer(
    trained: LoadedModel, run: Folder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "gguf"
    arguments = ["--model", str(run.output), "--to", str(folder), "--format", "gguf", "--dtype"]
    export.main([*arguments, "float32"])
    assert {file.name for file in folder.iterdir()} == {"model.gguf", "manifest.json"}
    again = load(str(folder / "model.gguf"))
    assert again.model.config == trained.model.config
    state = again.model.state_dict()
    assert all(torch.equal(state[name], weight) for name, weight in trained.model.state_dict().items())
    assert again.tokenizer.encode("The mill turns.") == trained.tokenizer.encode("The mill turns.")
    assert again.chat.prompt(CONVERSATION) == trained.chat.prompt(CONVERSATION)
    assert again.chat.stop == trained.chat.stop
    export.main([*arguments, "float32"])
    assert "already done" in capsys.readouterr().out
    with pytest.raises(OutputError, match="--overwrite"):
        export.main([*arguments, "float16"])
    with pytest.raises(InputError, match="q8_0: only GGUF has it"):
        export.export(str(run.output), str(tmp_path / "other"), "q8_0")


@torch.inference_mode()
def test_transformers_opens_an_export(trained: LoadedModel, exported: Path) -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(exported)
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(exported)
    expected = trained.model(tokens(trained))
    torch.testing.assert_close(model(tokens(trained)).logits, expected, atol=1e-5, rtol=1e-5)
    assert tokenizer.encode("The mill ▁", add_special_tokens=False) == trained.tokenizer.encode("The mill ▁")
    spoken = [{"role": message.role, "content": message.content} for message in CONVERSATION]
    ids = tokenizer.apply_chat_template(spoken, add_generation_prompt=True, return_dict=False)
    assert ids == trained.chat.prompt(CONVERSATION)
    assert set(model.generation_config.eos_token_id) == trained.chat.stop
    text = torch.tensor([tokenizer("The mill turns.").input_ids])
    own = torch.tensor([[trained.tokenizer.bos, *trained.tokenizer.encode("The mill turns.")]])
    assert torch.equal(text, own)
    loss = torch.nn.functional.cross_entropy(trained.model(own)[0, :-1], own[0, 1:])
    torch.testing.assert_close(model(text, labels=text).loss, loss)


def test_finished_exports_are_not_repeated(
    run: Folder, exported: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(exported)
    export.export(str(run.output), str(exported))
    assert "already done" in capsys.readouterr().out
    assert contents(exported) == before


def test_wrong_usage_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match=r"^the following arguments are required: --to; see --help$"):
        export.main(["--model", "x"])
    with pytest.raises(SystemExit):
        export.main(["--help"])
    assert capsys.readouterr().out.startswith("usage: python -m model.export ")


def test_exports_overwrite_only_on_request(run: Folder, exported: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(exported, folder)
    with pytest.raises(OutputError, match=r"a finished model of another .* replace it with --overwrite"):
        export.export(str(run.output), str(folder), "bfloat16")
    with pytest.raises(OutputError, match="files that are not Gristmill's"):
        export.export(str(run.output), str(tmp_path))
    with pytest.raises(InputError, match="is the model itself"):
        export.export(str(folder), str(folder), overwrite=True)
    assert contents(folder) == contents(exported)
    export.export(str(run.output), str(folder), "bfloat16", overwrite=True)
    _, state = huggingface.read(folder)
    assert {weight.dtype for weight in state.values()} == {torch.bfloat16}
    assert load(str(folder)).facts["origin"] == "out"


def test_export_to_remote_storage(run: Folder, exported: Path) -> None:
    export.export(str(run.output), "memory://exported/model")
    for name, content in contents(exported).items():
        if name != manifest.NAME:
            assert storage.read_bytes(f"memory://exported/model/{name}") == content


def test_altered_and_unfinished_exports_are_refused(exported: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(exported, folder)
    (folder / "config.json").write_text((folder / "config.json").read_text() + " ")
    with pytest.raises(ManifestError, match=r"config\.json: .* it was altered"):
        load(str(folder))
    (folder / manifest.NAME).rename(folder / manifest.STARTED)
    with pytest.raises(ManifestError, match="was not run or was cut short"):
        load(str(folder))


def foreign(exported: Path, folder: Path) -> Path:
    """Copy an export without its manifest and SentencePiece model."""
    kept = shutil.ignore_patterns(manifest.NAME, "tokenizer.model")
    shutil.copytree(exported, folder, ignore=kept)
    return folder


def test_folder_without_manifest_is_hashed_by_its_files(exported: Path, tmp_path: Path) -> None:
    one = load(str(foreign(exported, tmp_path / "one")))
    assert (one.name, one.facts) == ("one", {"format": "huggingface"})
    other = foreign(exported, tmp_path / "other")
    assert load(str(other)).sha256 == one.sha256
    settings = json.loads((other / "tokenizer_config.json").read_text())
    (other / "tokenizer_config.json").write_text(json.dumps(settings | {"chat_template": "{{ 1 }}"}))
    assert load(str(other)).sha256 != one.sha256


def test_every_listed_eos_stops_and_is_exported(exported: Path, trained: LoadedModel, tmp_path: Path) -> None:
    folder = foreign(exported, tmp_path / "listed")
    size = trained.model.config.vocabulary_size
    for name, tokens in (("config.json", 5), ("generation_config.json", [8, 9, size])):
        values = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(values | {"eos_token_id": tokens}))
    found = load(str(folder))
    assert found.stop == {trained.tokenizer.eos, 5, 8, 9}
    assert found.chat.stop == trained.chat.stop | {5, 8, 9}
    export.export(str(folder), str(tmp_path / "again"))
    assert load(str(tmp_path / "again")).stop == found.chat.stop
    (folder / "generation_config.json").write_text('{"eos_token_id": null}')
    assert load(str(folder)).stop == {trained.tokenizer.eos, 5}
    (folder / "generation_config.json").write_text('{"eos_token_id": ["</s>"]}')
    with pytest.raises(
        InputError, match=r"generation_config\.json: eos_token_id = \['</s>'\]; must be a token id"
    ):
        load(str(folder))


def test_vocabularies_may_be_padded_but_not_cut(exported: Path, trained: LoadedModel, tmp_path: Path) -> None:
    size = trained.model.config.vocabulary_size
    for rows, name in ((size + 8, "padded"), (size - 8, "cut")):
        folder = foreign(exported, tmp_path / name)
        config = replace(trained.model.config, vocabulary_size=rows)
        huggingface.write(folder, config, Transformer(config).state_dict(), {"eos_token_id": 2})
    assert load(str(tmp_path / "padded")).model.config.vocabulary_size == size + 8
    with pytest.raises(MismatchError, match=f"tokenizer has {size} tokens, the model only {size - 8}"):
        load(str(tmp_path / "cut"))


def test_models_without_chat_template_are_loaded(exported: Path, tmp_path: Path) -> None:
    folder = foreign(exported, tmp_path / "silent")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    del settings["chat_template"]
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    loaded = load(str(folder))
    with pytest.raises(InputError, match="has no chat template"):
        _ = loaded.chat
    export.export(str(folder), str(tmp_path / "again"))
    assert load(str(tmp_path / "again")).tokenizer.chat_template == ""


@pytest.fixture
def adapter(exported: Path, tmp_path: Path) -> tuple[Path, Any]:
    """Return an adapter written by peft, and the adapted peft model."""
    base = transformers.AutoModelForCausalLM.from_pretrained(exported)
    torch.manual_seed(0)
    targets = ["q_proj", "down_proj"]
    settings = peft.LoraConfig(r=3, lora_alpha=5, target_modules=targets, task_type="CAUSAL_LM")
    adapted = peft.get_peft_model(base, settings)
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.normal_()
    adapted.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter", adapted.eval()


@torch.inference_mode()
def test_adapters_are_merged_into_their_base_models(
    adapter: tuple[Path, Any], exported: Path, tmp_path: Path
) -> None:
    folder, peer = adapter
    loaded = load(str(folder))
    assert loaded.facts["format"] == "adapter"
    assert loaded.facts["base_sha256"] == load(str(exported)).sha256
    assert loaded.sha256 not in (load(str(exported)).sha256, loaded.facts["base_sha256"])
    ids = tokens(loaded)
    torch.testing.assert_close(loaded.model(ids), peer(ids).logits, atol=1e-4, rtol=1e-4)
    export.export(str(folder), str(tmp_path / "merged"))
    assert torch.equal(load(str(tmp_path / "merged")).model(ids), loaded.model(ids))


def test_adapters_without_their_base_are_refused(adapter: tuple[Path, Any], exported: Path) -> None:
    folder, _ = adapter
    path = folder / "adapter_config.json"
    settings = json.loads(path.read_text())
    for base in ("", "nowhere/at-all", str(folder)):
        path.write_text(json.dumps(settings | {"base_model_name_or_path": base}))
        with pytest.raises(InputError, match=f"adapts the model '{base}', which is not on this machine"):
            load(str(folder))
    path.write_text(json.dumps(settings))
    claim = {"stage": "model", "fingerprint": "", "config": {}, "inputs": [], "counts": {}, "files": []}
    (folder / manifest.NAME).write_text(json.dumps(claim | {"facts": {"base_sha256": "0" * 64}}))
    with pytest.raises(MismatchError, match=f"made for model 000000000000…, but {exported} is"):
        load(str(folder))


def test_unsupported_models_are_refused(run: Folder, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.gguf").write_bytes(b"GGUF")
    (tmp_path / "untrained" / "training").mkdir(parents=True)
    for name, message in (
        ("nothing", "does not exist on this machine"),
        ("empty", "not a supported model"),
        ("broken.gguf", "not a complete GGUF file"),
        ("untrained", "contains no checkpoint"),
    ):
        with pytest.raises(GristmillError, match=message) as caught:
            export.export(str(tmp_path / name), str(tmp_path / "to"))
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "to").exists()


def test_sample_accepts_any_model(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sample.main(["--model", str(exported), "--prompt", "The mill", "--tokens", "3", "--temperature", "0"])
    assert capsys.readouterr().out.startswith("The mill")
    with pytest.raises(GristmillError, match=r"output\.path"):
        sample.main(["--prompt", "The mill"])
