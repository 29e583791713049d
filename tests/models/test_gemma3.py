"""The real Gemma 3 270M: equal to transformers' reading of the same file, and sensible in two languages.

Opt-in: runs where `shizuku pull gemma-3-270m` (238 MB) has put it. Prompts are token ids, made once with the
tokenizer that transformers makes from the file, so that this is about the model alone.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import transformers
from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

from shizuku.checkpoints.fetch import pulled
from shizuku.checkpoints.gguf import open_gguf
from shizuku.checkpoints.huggingface import to_huggingface
from shizuku.models.decoder import Decoder, parameter_count

pytestmark = pytest.mark.slow

# The capital of Japan is Tokyo, and the capital of France is
CAPITAL = [2, 818, 5279, 529, 6056, 563, 21038, 236764, 532, 506, 5279, 529, 7001, 563]
ENGLISH = [  # It was a bright morning, and the old man was sitting by the window, looking at the sea.
    2, 1509, 691, 496, 7804, 5597, 236764, 532, 506, 2255, 880, 691, 8116, 684, 506, 4771, 236764, 3182, 657,
    506, 5442, 236761,
]  # fmt: skip
JAPANESE = [  # 春になると、公園の桜が咲いて、たくさんの人が花を見に来ます。
    2, 238868, 119984, 236951, 81006, 236945, 241744, 237053, 242836, 8250, 236951, 186235, 45481, 238078,
    27688, 115304, 2966, 236924,
]  # fmt: skip


@pytest.fixture(scope="module")
def gemma() -> Iterator[tuple[Path, Decoder, dict[str, Any]]]:
    path = pulled("gemma-3-270m")
    if path is None:
        pytest.skip("Gemma 3 is not here: run `shizuku pull gemma-3-270m`")
    config, weights, metadata = open_gguf(path)
    model = Decoder(config).eval()
    model.load_state_dict(weights, assign=True)
    yield path, model, metadata


@torch.no_grad()
def continued(model: Decoder, metadata: dict[str, Any], ids: list[int], count: int) -> str:
    state = model.new_state(1, capacity=len(ids) + count)
    new = [int(model(torch.tensor([ids]), state=state)[0, -1].argmax())]
    while len(new) < count:
        new.append(int(model(torch.tensor([new[-1:]]), state=state)[0, -1].argmax()))
    return "".join(metadata["tokenizer.ggml.tokens"][one] for one in new).replace("▁", " ")


def test_it_has_its_published_size(gemma: tuple[Path, Decoder, dict[str, Any]]) -> None:
    assert parameter_count(gemma[1]) == 268_098_176


@torch.no_grad()
def test_logits_equal_those_of_transformers_reading_the_same_file(
    gemma: tuple[Path, Decoder, dict[str, Any]],
) -> None:
    path, model, _ = gemma
    keys, _ = to_huggingface(model.config, model.state_dict())
    theirs = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.for_model(**keys)).eval()
    read = load_gguf_checkpoint(str(path), return_tensors=True, model_to_load=theirs)
    missing, unexpected = theirs.load_state_dict(read["tensors"], strict=False)
    assert (missing, unexpected) == (["lm_head.weight"], [])
    theirs.tie_weights()
    beyond_the_window = torch.randint(262_144, (1, 600), generator=torch.Generator().manual_seed(0))
    for ids in (torch.tensor([ENGLISH]), torch.tensor([JAPANESE]), beyond_the_window):
        expected = theirs(ids, logits_to_keep=8).logits
        assert (model.unembed(model.hidden(ids)[:, -8:]) - expected).abs().max() < 2e-5 * expected.std()


@pytest.mark.parametrize("ids", [ENGLISH, JAPANESE], ids=["english", "japanese"])
@torch.no_grad()
def test_sense_is_likelier_than_nonsense(gemma: tuple[Path, Decoder, dict[str, Any]], ids: list[int]) -> None:
    own = torch.tensor(ids)
    order = torch.randperm(len(ids) - 1, generator=torch.Generator().manual_seed(0)) + 1
    shuffled = torch.cat([own[:1], own[order]])
    sense, nonsense = (F.cross_entropy(gemma[1](row[None])[0, :-1], row[1:]) for row in (own, shuffled))
    assert sense < 3.5
    assert nonsense > sense + 4


def test_it_goes_on_in_each_language(gemma: tuple[Path, Decoder, dict[str, Any]]) -> None:
    _, model, metadata = gemma
    assert continued(model, metadata, CAPITAL, 12).startswith(" Paris.\n\nThe capital of")
    english = continued(model, metadata, ENGLISH, 24)
    assert english.isascii() and " he was " in english.lower()
    japanese = continued(model, metadata, JAPANESE, 24).strip()
    kana = sum("\u3040" <= letter <= "\u30ff" for letter in japanese)
    assert kana > len(japanese) / 3 and "花見" in japanese
