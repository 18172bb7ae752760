"""WARC and ARC files that are compressed as a whole, in any way: read as one stream from start to end."""

from collections.abc import Iterator
from typing import BinaryIO

from pipeline.readers.compressed import Content, sections
from pipeline.readers.lookahead import SEARCH_BYTES, LookaheadStream
from pipeline.readers.record import Origin
from pipeline.readers.warc.framing import Frame, find_record, plain_frames, seek_record


def stream_frames(stream: BinaryIO) -> Iterator[Frame]:
    """Yield the records of a file. Their origins are byte ranges of the decompressed content.

    After damage, reading resumes at the first record of the next undamaged member.
    """
    position = 0
    for number, section in enumerate(sections(stream)):
        content = Content(section)
        lookahead = LookaheadStream(content.read, position)
        if number:
            seek_record(lookahead, 0)
        error = ""
        for frame in plain_frames(lookahead):
            yield frame
            error = frame.error
        position = lookahead.position
        if content.error and not error:
            yield Frame(Origin(position, 0), error=content.error)
        position += 1


def contains_record(stream: BinaryIO) -> bool:
    """True if there is a record in the first ``SEARCH_BYTES`` of the content."""
    stream.seek(0)
    lookahead = LookaheadStream(Content(next(sections(stream))).read)
    return find_record(lookahead, 0, SEARCH_BYTES) is not None
