"""What a long text is known by: stretches from all over it."""


def spread(text: str, number: int, length: int) -> str:
    """So many stretches of so many characters, evenly spread over the text; a shorter one as it is."""
    gap = (len(text) - length) / (number - 1)
    if gap <= length:
        return text
    starts = [int(place * gap) for place in range(number)]
    return " ".join(text[start : start + length] for start in starts)
