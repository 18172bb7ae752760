"""Check token shards, and look into them.

``python -m core.shards verify DIR`` compares every file with the manifest.
``python -m core.shards inspect DIR`` prints the totals; with ``--row N`` the text of a row, with
``--document ID`` or ``--document URL`` the rows that hold a document.
``python -m core.shards diff DIR OTHER`` prints in what two sets of shards differ.
``python -m core.shards convert DIR OUT --to flat`` (or ``megatron``) writes the documents for other trainers;
``python -m core.shards convert FILE.bin OUT --to shards --tokenizer DIR`` packs theirs.
``python -m core.shards compress DIR OUT`` and ``restore DIR OUT`` write and read compressed shards.
"""

import argparse
import posixpath
from collections.abc import Iterable, Sequence
from pathlib import Path

from core import manifest, storage
from core.config import ArgumentParser
from core.errors import ConfigError, InputError, ManifestError, run
from core.manifest import FileEntry
from core.shards import archive, documents, exchange, inspection
from core.shards.format import SPLITS
from core.shards.reader import Shards
from core.tokenizer import Tokenizer, load_published

MIN_SEQUENCE_LENGTH = 8
"""As of ``pack.sequence_length``."""


def main(arguments: Sequence[str]) -> None:
    """Run the command line."""
    options = _parse(arguments)
    match options.command:
        case "verify":
            _verify(options.folder)
        case "inspect":
            _inspect(options)
        case "diff":
            one, other = (Shards.open(folder) for folder in (options.folder, options.other))
            lines = list(inspection.differences(one, other))
            print("\n".join(lines) or "no differences")
        case "compress":
            _report(archive.compress(options.folder, options.out), options.out)
        case "restore":
            _report(archive.restore(options.folder, options.out), options.out)
        case "convert" if options.to == "shards":
            _convert(options)
        case "convert":
            for path in exchange.export(Shards.open(options.folder), options.out, options.to):
                print(f"{path}: {path.stat().st_size:,} bytes")


def _verify(folder: str) -> None:
    """Compare every file with the manifest, print all problems but the last, and raise that one."""
    shards, problems = Shards.open(folder), []
    for entry in shards.manifest.files:
        try:
            manifest.verify_file(folder, entry)
        except ManifestError as error:
            problems.append(str(error))
    for problem in problems[:-1]:
        print(problem)
    if problems:
        raise ManifestError(problems[-1])
    size = sum(entry.size for entry in shards.manifest.files)
    print(f"{folder}: {len(shards.manifest.files):,} files of {size:,} bytes are as in {manifest.NAME}")


def _report(entries: Iterable[FileEntry], out: str) -> None:
    """Print the number and size of files, which are written meanwhile."""
    sizes = [entry.size for entry in entries]
    if sizes:
        print(f"{out}: {len(sizes):,} files of {sum(sizes):,} bytes")


def _inspect(options: argparse.Namespace) -> None:
    shards = Shards.open(options.folder, verify=False)
    run_folder = posixpath.dirname(storage.absolute(options.folder))
    if options.document:
        ids = documents.resolve_one(run_folder, options.document)
        rows = (each[1:4] for each in documents.find_documents(shards, ids))
        for split, source, row in dict.fromkeys(rows):
            print(f"{split}/{source} row {row}")
        return
    if options.row is None:
        print("\n".join(inspection.summary(shards)))
        return
    source = options.source or next((name for split, name in shards.groups if split == options.split), "")
    tokenizer = _tokenizer(shards, options.tokenizer or f"{run_folder}/tokenizer")
    found, title = inspection.read_row(shards, options.split, source, options.row)
    urls = documents.document_urls(run_folder, inspection.document_ids(found)) if options.urls else {}
    print("\n".join(inspection.describe_row(found, title, tokenizer, urls, whole=options.whole)))


def _convert(options: argparse.Namespace) -> None:
    """Pack a file of tokens, unless the output exists already."""
    if not options.tokenizer:
        raise ConfigError(
            "--tokenizer: needed to pack tokens; give the folder of the one they were made with"
        )
    if options.sequence_length < MIN_SEQUENCE_LENGTH:
        raise ConfigError(
            f"--sequence-length {options.sequence_length}: must be at least {MIN_SEQUENCE_LENGTH}; give the "
            "tokens of a row"
        )
    file, tokenizer = Path(options.folder), load_published(options.tokenizer)
    if not file.is_file():
        raise InputError(f"{file}: no such file; name the .bin file of tokens")
    made = exchange.convert(
        file, options.out, tokenizer, options.sequence_length, options.source or file.stem
    )
    print(f"{options.out}: {made.counts['documents']:,} documents in {made.counts['rows']:,} rows")


def _tokenizer(shards: Shards, folder: str) -> Tokenizer | None:
    if not storage.exists(folder):
        print(f"{folder}: no tokenizer; give its folder by --tokenizer to see text instead of numbers")
        return None
    return inspection.load_tokenizer(shards, folder)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = ArgumentParser(
        prog="python -m core.shards", description="Check token shards, and look into them."
    )
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="verify|inspect|diff|convert|compress|restore"
    )
    verify, inspect, diff, convert, compress, restore = (
        commands.add_parser(name, help=text, description=text)
        for name, text in (
            ("verify", "compare every file with the manifest"),
            ("inspect", "print totals, the text of a row, or the rows of a document"),
            ("diff", "print in what two sets of shards differ"),
            ("convert", "write the documents in another trainer's format, or pack tokens from one"),
            ("compress", "write compressed shards, for storage that is seldom read"),
            ("restore", "write the shards that were compressed"),
        )
    )
    for command in (compress, restore):
        command.add_argument(
            "folder", metavar="DIR", help="folder of shards, or of compressed ones to restore"
        )
        command.add_argument("out", metavar="OUT", help="new folder for the result, local or remote")
    for command in (verify, inspect, diff):
        command.add_argument("folder", metavar="DIR", help="folder of shards: OUT/shards, local or remote")
    convert.add_argument("folder", metavar="DIR|FILE", help="folder of shards, or a .bin file to pack")
    convert.add_argument("out", metavar="OUT", help="new local folder for the result")
    convert.add_argument("--to", choices=("flat", "megatron", "shards"), required=True)
    convert.add_argument("--sequence-length", type=int, default=2048, help="tokens of a packed row (2048)")
    convert.add_argument("--source", help="name of the source that the rows belong to; by default the file's")
    convert.add_argument("--tokenizer", metavar="DIR", help="folder of the tokenizer that made the tokens")
    diff.add_argument("other", metavar="OTHER", help="folder of other shards")
    inspect.add_argument("--split", choices=SPLITS, default="train")
    inspect.add_argument("--source", help="source of the row; by default the first")
    inspect.add_argument("--row", type=int, metavar="N", help="number of a row, from 0")
    inspect.add_argument("--document", metavar="ID|URL", help="id or URL of a document, as in documents/")
    inspect.add_argument("--whole", action="store_true", help="print whole texts")
    inspect.add_argument("--urls", action="store_true", help="print URLs, from OUT/documents")
    inspect.add_argument("--tokenizer", metavar="DIR", help="folder of the tokenizer (OUT/tokenizer)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    run(main)
