"""A model that says what it is told to: for what the server makes of a text, whichever model writes it."""

from collections.abc import Sequence

import numpy as np

from shizuku.inference.runtime import Span
from shizuku.language_model import LanguageModel
from shizuku.text.tokenizer import Tokenizer
from tiny_language_model import TEXT

HERMES = (
    "{% if tools %}<|im_start|>system\nTools: {{ tools | tojson }} as "
    "<tool_call>{}</tool_call><|im_end|>\n{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


class ScriptedRuntime:
    """Continues any one prompt with the text in `script`, then stops."""

    context, block_tokens, block_bytes, company_matters = 4096, 16, 64, False

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.vocab_size = tokenizer.vocab_size
        self.blocks = 0
        self._ids: list[int] = []
        self._end = 0

    def say(self, text: str) -> None:
        """What the next answers are; control tokens are spelled out."""
        self._ids = [*self._tokenizer.encode(text, control=True), min(self._tokenizer.stop_ids)]
        self._left = list(self._ids)

    def reserve(self, blocks: int) -> None:
        self.blocks = max(self.blocks, blocks)

    def forward(self, spans: Sequence[Span]) -> np.ndarray:
        wanted = [span for span in spans if span.wanted == "last"]
        assert len(wanted) <= 1 and all(span.wanted != "all" for span in spans)
        logits_RV = np.zeros((len(wanted), self.vocab_size), np.float32)
        if wanted:
            end = wanted[0].start + len(wanted[0].ids)
            if end != self._end + 1:  # behind a prompt it begins anew
                self._left = list(self._ids)
            self._end = end
            logits_RV[0, self._left.pop(0)] = 50
        return logits_RV

    def hidden(self, spans: Sequence[Span]) -> np.ndarray:
        raise AssertionError("nobody asks a script for vectors")

    def copy_block(self, source: int, target: int) -> None:
        pass


def scripted() -> LanguageModel:
    """A scripted model whose chat template writes calls as Hermes does."""
    tokenizer = Tokenizer.train([TEXT], 350, chat_template=HERMES)
    return LanguageModel(ScriptedRuntime(tokenizer), tokenizer)
