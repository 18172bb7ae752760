"""Language identification of sentences as people type them, beside the model without our preparation.

``python benchmarks/language.py FOLDER`` takes a folder of labelled sentences: ``en.txt`` has one English
sentence per line. Every sentence is identified as it is and in several other forms. An answer is right if it
is the language of the file, unknown if the text was found too short to tell, and else wrong. *Model* is
lid.176's own first answer, which is never unknown. Writes ``benchmarks/results/language.md``.
"""

import argparse
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from types import MappingProxyType

from core.errors import InputError, run
from pipeline.filters.language import identify, load
from pipeline.languages.codes import UNKNOWN, parse

RESULTS = Path(__file__).parent / "results" / "language.md"
CODE = "def main(argv):\n    return self.items[key].value != None\nif (x == 1) { foo.bar(); }"

Form = Callable[[str], str]


def without_punctuation(text: str) -> str:
    """Replace punctuation by spaces."""
    return "".join(" " if unicodedata.category(each)[0] == "P" else each for each in text)


def with_another_script(text: str) -> str:
    """Append names in Latin letters, or in Cyrillic ones to a text in Latin letters."""
    return text + (" (Владимир, Москва)" if max(text) < "\u0250" else " (Microsoft Windows)")


FORMS: Mapping[str, Form] = MappingProxyType(
    {
        "as it is": str,
        "capitals": str.upper,
        "title case": str.title,
        "without punctuation": without_punctuation,
        "doubled spaces": lambda text: text.replace(" ", "  "),
        "no-break spaces": lambda text: text.replace(" ", "\u00a0"),
        "spaced letters": " ".join,
        "decomposed (NFD)": lambda text: unicodedata.normalize("NFD", text),
        "with numbers": lambda text: f"2024-05-11 12:30 4711 {text} 0815 99,5 % +1 300",
        "with addresses": lambda text: (
            f"{text} https://www.example.com/index.php?id=1&ref=home a@example.org"
        ),
        "with emoji": lambda text: f"😀🎉 {text} 🔥🔥🔥 ❤️",
        "with code": lambda text: f"{text}\n{CODE}",
        "with another script": with_another_script,
        "first eight words": lambda text: " ".join(text.split()[:8]),
        "first four words": lambda text: " ".join(text.split()[:4]),
        "first two words": lambda text: " ".join(text.split()[:2]),
    }
)


def read(folder: str) -> list[tuple[str, str]]:
    """Return the code and the text of every sentence."""
    files = sorted(Path(folder).glob("*.txt"))
    if not files:
        raise InputError(f"{folder}: no .txt files; name a folder with a file of sentences per language")
    return [
        (parse(file.stem), line.strip())
        for file in files
        for line in file.read_text("utf-8").splitlines()
        if line.strip()
    ]


def model_answer(text: str) -> str:
    """Return the model's most probable label."""
    line = text.encode("utf-8", "replace").decode().replace("\n", " ")
    label: str = load().f.predict(line + "\n", 1, 0.0, "strict")[0][1]
    return label.removeprefix("__label__")


def measure(sentences: Sequence[tuple[str, str]], form: Form) -> list[float]:
    """Return the shares of right and wrong answers of the model, and of our right, wrong and unknown ones."""
    texts = [(code, form(text)) for code, text in sentences]
    model = sum(model_answer(text) == code for code, text in texts) / len(texts)
    answers = [(code, identify(text)[0]) for code, text in texts]
    right = sum(answer == code for code, answer in answers) / len(answers)
    unknown = sum(answer == UNKNOWN for _, answer in answers) / len(answers)
    return [model, 1 - model, right, 1 - right - unknown, unknown]


def main(arguments: Sequence[str]) -> None:
    """Measure every form and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder")
    options = parser.parse_args(arguments)
    sentences = read(options.folder)
    languages = len({code for code, _ in sentences})
    page = [
        "# Language identification of sentences as people type them",
        "",
        f"`python benchmarks/language.py {Path(options.folder).name}` on {date.today()}: {len(sentences):,} "
        f"sentences in {languages} languages, of which lid.176 does not know "
        f"{languages - len({code for code, _ in sentences} & _known())}. Shares of the sentences; *model* is "
        "lid.176's first answer, *ours* is `pipeline.filters.language.identify`.",
        "",
        "| form of the sentence | model right | model wrong | ours right | ours wrong | ours unknown |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name, form in FORMS.items():
        row = f"| {name} | {' | '.join(f'{share:.2%}' for share in measure(sentences, form))} |"
        print(row, flush=True)
        page.append(row)
    RESULTS.write_text("\n".join(page) + "\n", encoding="utf-8")


def _known() -> set[str]:
    return {label.removeprefix("__label__") for label in load().get_labels()}


if __name__ == "__main__":
    run(main)
