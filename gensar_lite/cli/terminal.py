"""Texts for a terminal: what people's data hold must not steer it. Imports nothing, so that the command starts at once."""

import re

STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Control characters but tab and line feed, and those that turn the direction of writing."""


def printable(text: str) -> str:
    """A text with control characters as `\\u001b`, which JSON reads, too."""
    return STEERING.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
