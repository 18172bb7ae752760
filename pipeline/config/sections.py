"""Every key, its default and its meaning, section by section."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError


class Section(BaseModel):
    """A part of the configuration: frozen, strictly typed, without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Columns(Section):
    """``[input.columns]``: which columns of Parquet and JSON lines hold what; dots lead into objects.

    Empty: the usual names, such as ``url`` and ``metadata.url``.
    """

    text: str = ""
    url: str = ""
    title: str = ""
    language: str = ""
    date: str = ""
    license: str = ""


class Index(Section):
    """``[input.index]``: records chosen from an index of WARC files, each read by its bytes alone.

    Takes the place of ``input.paths``.
    """

    path: str = ""
    """A Parquet table with the columns of Common Crawl's: ``warc_filename`` (under ``input.commoncrawl``),
    ``warc_record_offset``, ``warc_record_length`` and whatever ``where`` speaks of."""
    where: str = ""
    """A condition in Spark SQL, such as ``content_languages = 'dan' AND fetch_status = 200``; empty: all."""


class Input(Section):
    """``[input]``: where the raw records are and what they are."""

    paths: tuple[str, ...] = ()
    """Files, folders or globs: local, ``hdfs://`` or ``s3://``; files on ``https://``; ``commoncrawl:`` and a
    crawl's name, perhaps with ``/wet``, or a list of paths, and perhaps ``?sample=0.01``."""
    commoncrawl: str = "s3://commoncrawl/"
    """Where ``commoncrawl:`` names and an index's files lie: Common Crawl's bucket, a mirror (``https://``
    ``data.commoncrawl.org/``) or a copy."""
    format: Literal["auto", "warc", "wikipedia", "books", "jsonl", "parquet"] = "auto"
    """``auto`` decides per file by content and name."""
    source: str = ""
    """The documents' ``source``; empty: ``commoncrawl``, ``wikipedia`` or ``books`` by format."""
    split_bytes: int = Field(default=1 << 27, ge=1 << 16)
    """A file whose records can be reached from anywhere in it is read in pieces of so many stored bytes."""
    partitions: int = Field(default=0, ge=0)
    """Spark tasks that read; 0: one per split."""
    columns: Columns = Columns()
    index: Index = Index()


class Output(Section):
    """``[output]``: the folder that everything of one run is written to."""

    path: str = ""
    overwrite: bool = False
    """Replace what another configuration wrote there; otherwise that is refused."""


class Extraction(Section):
    """``[extraction]``: HTML and wikitext to text."""

    method: Literal["default", "resiliparse", "trafilatura"] = "default"
    """How a page's main content is found; the others as they come, for comparison."""
    max_bytes: int = Field(default=1 << 24, ge=1)
    """A record with more bytes (characters, where they are decoded already) is dropped."""
    max_seconds: float = Field(default=10.0, gt=0)
    """A record that takes more of the processor's time is dropped."""
    tables: bool = True
    """Keep the tables of wikis' articles, a line for each row."""
    lists: bool = True
    """Keep the items of wikis' lists, a line for each."""


class Filters(Section):
    """``[filters]``: which rules decide, and with which thresholds."""

    preset: str = "fineweb"
    """A file name in ``pipeline/filters/presets``; ``none`` keeps all and still measures all."""
    languages: tuple[str, ...] = ()
    """ISO 639-1 codes to keep; empty: every language that is identified with enough confidence."""
    thresholds: dict[str, float | dict[str, float]] = {}
    """Rules of the preset to override, by reason: ``{"gopher.few_words" = 20}``; with other figures for some
    languages: ``{"gopher.few_words" = {default = 50, de = 40}}``."""
    mask_pii: bool = True
    """Replace e-mail addresses, public IP addresses and the like by tags."""
    language_model: str = ""
    """A fastText model that tells languages, such as GlotLID's; empty: lid.176. Paths here and below: local,
    ``hdfs://`` or ``s3://``."""
    url_domains: str = ""
    """A text file with a domain a line; it and those below it are counted by ``url.domain``, beside the list
    that is shipped."""
    url_addresses: str = ""
    """The same of single pages, for ``url.address``."""
    url_words: str = ""
    """The same of words in addresses, for ``url.word``."""
    quality_model: str = ""
    """A fastText classifier, such as ``jobs/train_classifier.py`` makes; its score is the metric ``quality``,
    for ``quality.score``. Empty: not measured."""
    toxicity_model: str = ""
    """A fastText classifier in the place of the one that is shipped."""
    toxicity_words: str = ""
    """A text file with a word a line, or a folder of such files: a text with many of them scores higher."""


class LabelledText(Section):
    """One labelled set: a delimited file (``.gz`` or not), and which column says what."""

    name: str
    language: str
    path: str
    """Below ``classifier.folder``."""
    text: str
    """The column with the text."""
    labels: tuple[str, ...]
    """The columns with labels."""
    positive: tuple[str, ...]
    """A row is positive if one of the labels has one of these values."""
    columns: tuple[str, ...] = ()
    """Names of the columns, where the file does not begin with them."""
    delimiter: Literal[",", "\t"] = ","
    quoted: bool = True
    """Fields may stand in double quotes."""
    learn: bool = True
    """False: the model is only measured on it."""


class Corpus(Section):
    """``[classifier.positive]``, ``[classifier.negative]``: a corpus whose every text is of one class."""

    paths: tuple[str, ...] = ()
    """Folders of finished runs, whose documents are taken, and whatever ``input.paths`` may be, which is read
    as ``[input]`` and ``[extraction]`` say."""
    sources: tuple[str, ...] = ()
    """Only documents of these sources; empty: of all."""


class Classifier(Section):
    """``[classifier]``: a fastText classifier of text, positive or negative.

    It learns from labelled sets, from two corpora, or from both.
    """

    folder: str = ""
    """The folder with the labelled sets: local, ``hdfs://`` or ``s3://``."""
    sets: tuple[LabelledText, ...] = ()
    positive: Corpus = Corpus()
    negative: Corpus = Corpus()
    keep_share: float = Field(default=0.1, gt=0, lt=1)
    """The threshold that is picked keeps so much of the negative corpus: of raw crawl, its best tenth."""
    rows_per_class: int = Field(default=10_000, ge=1)
    """Each set gives as many positive and as many negative rows; a smaller one repeats its own. Each corpus
    gives at most so many, chosen by a hash, and none twice."""
    held_out: int = Field(default=10, ge=2)
    """One text in so many is measured on, not learned from."""
    dimension: int = Field(default=32, ge=1)
    epochs: int = Field(default=10, ge=1)
    learning_rate: float = Field(default=0.3, gt=0)
    word_ngrams: int = Field(default=2, ge=1)
    shortest_fragment: int = Field(default=2, ge=0)
    """Characters of the shortest parts of words that are features; 0 with ``longest_fragment`` 0: none."""
    longest_fragment: int = Field(default=5, ge=0)
    buckets: int = Field(default=500_000, ge=1)
    """Hash buckets for word n-grams and parts of words."""
    features: int = Field(default=100_000, ge=0)
    """Features that are kept when the model is quantized; 0: all."""
    rarest_word: int = Field(default=2, ge=1)
    """Times that a word occurs, repeated rows counted, to be a feature by itself."""
    seed: int = Field(default=1, ge=0)


class Dedup(Section):
    """``[dedup]``: MinHash with ``bands`` × ``rows`` permutations over word shingles."""

    exact: bool = True
    near: bool = True
    bands: int = Field(default=14, ge=1)
    rows: int = Field(default=8, ge=1)
    shingle: int = Field(default=5, ge=1)
    """Words per shingle."""
    seed: int = Field(default=1, ge=0)


class Ledger(Section):
    """``[ledger]``: the account of every record."""

    sample_share: float = Field(default=0.1, ge=0, le=1)
    """Share of dropped records whose first characters are kept for inspection."""
    sample_characters: int = Field(default=300, ge=1)


class Tokenizer(Section):
    """``[tokenizer]``: SentencePiece BPE with byte fallback."""

    vocabulary_size: int = Field(default=32_000, ge=300, le=1_000_000)
    sample_characters: int = Field(default=1_000_000_000, ge=1)
    """Characters of text to learn from: a fixed, order-free sample of the documents."""
    seed: int = Field(default=1, ge=0)


class Pack(Section):
    """``[pack]``: documents to fixed-length sequences in Arrow shards."""

    sequence_length: int = Field(default=2048, ge=8)
    validation_share: float = Field(default=0.01, ge=0, lt=1)
    """Share of duplicate clusters that go to validation."""
    shard_sequences: int = Field(default=16_384, ge=1)
    """Sequences per shard file, at most."""


class Model(Section):
    """``[model]``: a Llama-style decoder."""

    layers: int = Field(default=12, ge=1)
    width: int = Field(default=768, ge=8)
    heads: int = Field(default=12, ge=1)
    kv_heads: int = Field(default=12, ge=1)
    hidden: int = Field(default=0, ge=0)
    """Width of the feed-forward layer; 0: 8/3 of ``width``, rounded up to a multiple of 64."""
    rope_theta: float = Field(default=10_000.0, gt=0)
    norm_epsilon: float = Field(default=1e-5, gt=0)
    tied: bool = True
    """Input and output embeddings share one matrix."""

    @model_validator(mode="after")
    def _heads_divide(self) -> "Model":
        if self.width % self.heads or self.heads % self.kv_heads or (self.width // self.heads) % 2:
            raise PydanticCustomError(
                "heads",
                "width {width}, heads {heads}, kv_heads {kv_heads}: heads must divide width into an even "
                "head size and kv_heads must divide heads",
                {"width": self.width, "heads": self.heads, "kv_heads": self.kv_heads},
            )
        return self


class Train(Section):
    """``[train]``: pre-training."""

    steps: int = Field(default=1000, ge=1)
    batch_size: int = Field(default=64, ge=1)
    """Sequences per optimizer step, over all processes."""
    micro_batch_size: int = Field(default=8, ge=1)
    """Sequences per forward pass of one process."""
    learning_rate: float = Field(default=3e-4, gt=0)
    final_learning_rate: float = Field(default=0.1, ge=0, le=1)
    """Share of ``learning_rate`` at the last step of the cosine."""
    warmup_steps: int = Field(default=100, ge=0)
    weight_decay: float = Field(default=0.1, ge=0)
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.95, ge=0, lt=1)
    clip_norm: float = Field(default=1.0, gt=0)
    mixture: dict[str, float] = {}
    """Relative weight of each source; empty: by its number of sequences."""
    seed: int = Field(default=1, ge=0)
    validate_every: int = Field(default=100, ge=1)
    validation_sequences: int = Field(default=256, ge=1)
    checkpoint_every: int = Field(default=100, ge=1)
    keep_checkpoints: int = Field(default=2, ge=1)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """``auto``: bfloat16 on CUDA, float32 on CPU."""
    compile: bool = False
    """``torch.compile`` each block."""
    activation_checkpointing: bool = False


class Lora(Section):
    """``[finetune.lora]``: low-rank adapters."""

    rank: int = Field(default=16, ge=1)
    alpha: float = Field(default=32.0, gt=0)
    """The correction counts ``alpha`` / ``rank``."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of an adapter's inputs that are left out in training."""
    targets: tuple[str, ...] = ()
    """Of query, key, value, output, gate, up and down those to adapt; empty: all."""


class Finetune(Train):
    """``[finetune]``: what ``[train]`` has, with defaults of its own, and what is learned from what."""

    model: str = ""
    """The folder of a run, a Hugging Face folder, a GGUF file or an adapter."""
    method: Literal["full", "lora"] = "full"
    lora: Lora = Lora()
    files: tuple[str | tuple[str, str], ...] = ()
    """JSONL files, or pairs of text files whose lines belong together; ``.gz`` or not, local or remote."""
    validation_files: tuple[str | tuple[str, str], ...] = ()
    """The same, to validate on; none: a share of the examples."""
    validation_share: float = Field(default=0.02, ge=0, lt=1)
    """Share of the examples, by a hash of their content, that is validated on instead of learned."""
    preset: str = "chat"
    """How a record becomes a conversation: a file name in ``train/presets``, or the path of one's own."""
    fields: dict[str, str] = {}
    """What the records call the preset's fields, where they use other names: ``{"source" = "en"}``."""
    values: dict[str, str] = {}
    """What the preset leaves open: ``{"target_language" = "German"}``."""
    learn: Literal["assistant", "all"] = "assistant"
    """Which tokens to learn: those of the assistant and the marks that end its turns, or all."""
    sequence_length: int = Field(default=1024, ge=8)
    """Tokens of a packed row."""
    too_long: Literal["drop", "truncate"] = "drop"
    """What becomes of an example that is longer than a row."""
    steps: int = Field(default=0, ge=0)
    """0: as many as ``epochs`` take."""
    epochs: float = Field(default=1.0, gt=0)
    batch_size: int = Field(default=16, ge=1)
    micro_batch_size: int = Field(default=4, ge=1)
    learning_rate: float = Field(default=0.0, ge=0)
    """0: a tenth of the rate that the model was pre-trained with; 3e-5, and 3e-4 for adapters, if that is not
    known."""
    warmup_steps: int = Field(default=10, ge=0)
    weight_decay: float = Field(default=0.0, ge=0)
    validation_sequences: int = Field(default=64, ge=1)


class Evals(Section):
    """``[evals]``: measuring a model."""

    limit: int = Field(default=0, ge=0)
    """Items of each suite at most, above what they are shown as examples; 0: as many as the suite says."""
    batch_size: int = Field(default=16, ge=1)
    """Texts that are generated side by side."""
    batch_tokens: int = Field(default=2048, ge=1)
    """Tokens whose likelihood is computed in one forward pass; a longer text is one by itself."""
    window: int = Field(default=1024, ge=8)
    """The most tokens that perplexity looks back on, where the suite does not say."""
    bootstrap: int = Field(default=1000, ge=2)
    """Resamples behind an interval."""
    seed: int = Field(default=1, ge=0)
    """Of resampling, and of drawn text where a suite's temperature is above 0."""
    precision: Literal["float32", "bfloat16"] = "float32"


class Serve(Section):
    """``[serve]``: answering over HTTP."""

    slots: int = Field(default=16, ge=1)
    """Requests that are generated side by side."""
    context: int = Field(default=0, ge=0)
    """Tokens of a request, prompt and answer together; 0: the model's own limit, at most 4096."""
    queue: int = Field(default=64, ge=0)
    """Requests that wait for a slot; one more is refused (429)."""
    answer_tokens: int = Field(default=1024, ge=1)
    """The longest answer where a request does not say."""
    request_seconds: float = Field(default=300.0, gt=0)
    """After so long an answer ends as it stands, with ``finish_reason`` ``length``."""
    drain_seconds: float = Field(default=30.0, ge=0)
    """How long running requests are waited for once the server was told to stop."""
    body_bytes: int = Field(default=1_000_000, ge=1)
    """The longest body of a request."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """``auto``: bfloat16 on CUDA, float32 on CPU, where bfloat16 is faster and answers differ a little."""
    threads: int = Field(default=0, ge=0)
    """Of the model; 0: one per processor that this process may use."""
    api_keys: str = ""
    """A file with one key per line. The variable ``GRISTMILL_API_KEYS`` adds keys, separated by spaces."""
    cors_origins: tuple[str, ...] = ()
    """Other sites whose pages may call the server."""
    feedback: str = ""
    """An SQLite file that keeps answers and what is said of them; empty: nothing is kept."""
    safety: bool = True
    """The filter on what comes in and goes out; the keys below are its rules."""
    blocked_words: str = ""
    """A file with one word or phrase per line; none of them is accepted or sent."""
    toxicity: float = Field(default=0.75, ge=0, le=1)
    """A sentence that the classifier finds more toxic than this is blocked; 1: none. Of English fiction's
    sentences five in a thousand are above it."""
    mask_pii: bool = True
    """Replace personal data in answers by tags, as in the training text."""


class Config(Section):
    """The whole configuration of a run."""

    input: Input = Input()
    output: Output = Output()
    extraction: Extraction = Extraction()
    filters: Filters = Filters()
    classifier: Classifier = Classifier()
    dedup: Dedup = Dedup()
    ledger: Ledger = Ledger()
    tokenizer: Tokenizer = Tokenizer()
    pack: Pack = Pack()
    model: Model = Model()
    train: Train = Train()
    finetune: Finetune = Finetune()
    evals: Evals = Evals()
    serve: Serve = Serve()
