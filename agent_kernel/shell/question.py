"""A prompt may end in a question mark.

IPython takes any line that ends in `?` for a request for help, magics included: `%agent What is it?`
would show the documentation of `it`. This transformer comes before and makes the call itself;
`%agent?` still shows help.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from IPython.core.inputtransformer2 import TokenTransformBase

MAGIC = "%agent"


class Question(TokenTransformBase):  # type: ignore[misc]
    """Finds one `%agent …?` or `name = %agent …?` line."""

    priority = 4  # IPython's own help has 5, and begins where the statement does

    def __init__(self, statement: tuple[int, int], magic: int) -> None:
        super().__init__(statement)
        self.magic = magic

    @classmethod
    def find(cls, tokens_by_line: Sequence[Sequence[Any]]) -> Self | None:
        for line in tokens_by_line:
            words = [token for token in line if token.string.strip()]
            for before, sign in zip([None, *words], words, strict=False):
                if sign.string == "%" and (before is None or before.string == "="):
                    if _asks(sign.line[sign.start[1] :]):
                        return cls(words[0].start, sign.start[1])
                    break
        return None

    def transform(self, lines: list[str]) -> list[str]:
        line = lines[self.start_line]
        prompt = line[self.magic :].strip()[len(MAGIC) :].strip()
        call = f"{line[: self.magic]}get_ipython().run_line_magic('agent', {prompt!r})\n"
        return [*lines[: self.start_line], call, *lines[self.start_line + 1 :]]


def _asks(text: str) -> bool:
    """`%agent`, a space, words, and a question mark at the end."""
    text = text.strip()
    return text.startswith(f"{MAGIC} ") and text.endswith("?") and bool(text[len(MAGIC) :].strip(" ?"))
