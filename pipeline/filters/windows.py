"""Sampling of long texts."""


def sample_windows(text: str, count: int, length: int) -> str:
    """Return ``count`` windows of ``length`` characters, evenly spaced over the text and joined by spaces.

    A text too short for windows with gaps between them is returned unchanged.
    """
    step = (len(text) - length) / (count - 1)
    if step <= length:
        return text
    starts = [int(index * step) for index in range(count)]
    return " ".join(text[start : start + length] for start in starts)
