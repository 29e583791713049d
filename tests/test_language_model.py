"""The face: text in, text out, with whole small models; and the real one where it is here."""

import json
import socket
from pathlib import Path

import numpy as np
import pytest
import torch

import shizuku
from shizuku.errors import CheckpointError, ConfigError, ModelError, ShizukuError, TokenizerError
from shizuku.evaluation.perplexity import evaluate_text
from shizuku.inference.engine import EngineSettings
from shizuku.language_model import LanguageModel
from shizuku.models.encoder import Encoder, EncoderConfig
from shizuku.text.tokenizer import Tokenizer
from tiny_language_model import bare_lm, tiny_lm, tiny_model, tokenizer

PROMPTS = ["The cat sat on the mat", "雨", "In the town by the sea the baker opens", "A", "A boat"]
TALK = [{"role": "user", "content": "Where is the cat?"}]


# ---- generate and stream


def test_a_list_gives_what_each_prompt_gives_alone_whatever_the_batch() -> None:
    lm = tiny_lm()
    alone = [lm.generate(prompt, max_new_tokens=20, temperature=0.0) for prompt in PROMPTS]
    for batch_size in (1, 2, 8, 500):
        assert lm.generate(PROMPTS, max_new_tokens=20, temperature=0.0, batch_size=batch_size) == alone
    turned = lm.generate(PROMPTS[::-1], max_new_tokens=20, temperature=0.0)
    assert turned == alone[::-1]


def test_sampled_lists_repeat_with_their_seed_whatever_the_batch() -> None:
    lm = tiny_lm()
    texts = lm.generate(PROMPTS, max_new_tokens=20, temperature=1.0, seed=5)
    assert lm.generate(PROMPTS, max_new_tokens=20, temperature=1.0, seed=5, batch_size=2) == texts
    assert lm.generate(PROMPTS, max_new_tokens=20, temperature=1.0, seed=6) != texts


def test_stream_joins_to_generate() -> None:
    lm = tiny_lm()
    for seed in range(5):
        sampled = {"max_new_tokens": 30, "temperature": 1.0, "seed": seed}
        pieces = lm.stream(PROMPTS[0], **sampled)
        assert "".join(pieces) == lm.generate(PROMPTS[0], **sampled) == pieces.text
        assert pieces.finish in ("stop", "length")
        assert pieces.usage.prompt_tokens == len(lm.prompt_ids(PROMPTS[0]))


def test_closing_a_stream_stops_the_model() -> None:
    pieces = tiny_lm().stream("A", max_new_tokens=60, temperature=1.0, seed=1)
    next(pieces)
    made = pieces.usage.completion_tokens
    pieces.close()
    with pytest.raises(StopIteration):
        next(pieces)
    assert pieces.usage.completion_tokens == made < 60
    assert pieces.message().finish == "length"


def test_stop_tokens_end_the_text_and_are_not_in_it() -> None:
    lm = tiny_lm()
    stop = lm.tokenizer.eos_id
    assert stop is not None

    def end_after_three(ids, logits_V):  # type: ignore[no-untyped-def]
        if len(ids) == start + 3:
            logits_V[:] = -1e9
            logits_V[stop] = 0.0
        else:
            logits_V[sorted(lm.tokenizer.control)] = -np.inf
        return logits_V

    start = len(lm.prompt_ids("A boat"))
    pieces = lm.stream("A boat", max_new_tokens=20, processors=[end_after_three])
    text = "".join(pieces)
    assert (pieces.finish, pieces.usage.completion_tokens) == ("stop", 4)
    assert "<|" not in text


def test_stop_strings_cut_every_text_of_a_batch() -> None:
    lm = tiny_lm()
    free = lm.generate(PROMPTS, max_new_tokens=30, temperature=0.0)
    stop = free[0][5:8]
    cut = lm.generate(PROMPTS, max_new_tokens=30, temperature=0.0, stop=stop)
    assert cut == [text.partition(stop)[0] for text in free]
    assert cut[0] == free[0][: free[0].index(stop)]


def test_an_empty_prompt_starts_a_document_or_is_an_error() -> None:
    lm = tiny_lm()
    assert lm.prompt_ids("") == [lm.tokenizer.document_start_id]
    assert isinstance(lm.generate("", max_new_tokens=3), str)
    with pytest.raises(ModelError, match=r"prompt is empty.*no token that starts a document.*--prompt"):
        bare_lm().generate("", max_new_tokens=3)


def test_limits() -> None:
    lm = tiny_lm(context=32)
    assert lm.generate("A", max_new_tokens=0) == ""
    assert lm.generate([], max_new_tokens=5) == []
    with pytest.raises(ConfigError, match="--max-new-tokens -1: expected a whole number >= 0"):
        lm.generate("A", max_new_tokens=-1)
    with pytest.raises(
        ConfigError, match=r"--max-new-tokens 32: with the 2 tokens.*length 32; at most 30 fit"
    ):
        lm.generate("A", max_new_tokens=32)
    with pytest.raises(
        ModelError, match=r"prompt has \d+ tokens, the context length is 32: shorten --prompt"
    ):
        lm.generate("x y z w " * 30)
    unlimited = bare_lm(context=32).stream("A", temperature=0.0)
    assert len("".join(unlimited)) > 0
    assert unlimited.usage.completion_tokens == 31, "without a limit it goes on to the end of the window"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_tokens": 5}, "unknown setting max_tokens; did you mean max_new_tokens"),
        ({"temprature": 0.5}, "did you mean temperature"),
        ({"temperature": "hot"}, "temperature: expected float, found str 'hot'"),
        ({"temperature": -1}, "--temperature -1"),
        ({"max_new_tokens": 2.5}, "max_new_tokens: expected int, found float 2.5"),
        ({"max_new_tokens": True}, "max_new_tokens: expected int, found bool"),
        ({"top_p": 0}, "--top-p 0"),
        ({"batch_size": 0}, "batch_size 0"),
        ({"stop": ""}, "stop string is empty"),
    ],
)
def test_bad_settings_say_which_and_what(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ShizukuError, match=message):
        tiny_lm().generate("A", **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("prompt", [5, None, b"bytes", [3], ["ok", None]])
def test_a_prompt_that_is_no_text_is_an_error(prompt: object) -> None:
    with pytest.raises(ModelError, match="a prompt is a string"):
        tiny_lm().generate(prompt, max_new_tokens=2)  # type: ignore[arg-type]


# ---- conversations


def test_chat_is_the_content_of_respond_and_of_its_stream() -> None:
    lm = tiny_lm()
    message = lm.respond(TALK, max_new_tokens=20, temperature=1.0, seed=2)
    assert message.content == lm.chat(TALK, max_new_tokens=20, temperature=1.0, seed=2)
    assert message.content == "".join(lm.stream_chat(TALK, max_new_tokens=20, temperature=1.0, seed=2))
    assert message.usage.prompt_tokens == len(lm.tokenizer.encode_chat(TALK))
    assert (message.role, message.dropped_turns) == ("assistant", 0)


def test_a_long_conversation_loses_its_oldest_turns_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    lm = tiny_lm(context=128)
    talk = [{"role": "system", "content": "Be kind."}]
    for number in range(12):
        talk += [{"role": "user", "content": f"{number}"}, {"role": "assistant", "content": "the cat"}]
    talk.append({"role": "user", "content": "and now?"})
    message = lm.respond(talk, max_new_tokens=10)
    assert message.dropped_turns > 0
    kept = [talk[0], *talk[1 + 2 * message.dropped_turns :]]
    assert message.usage.prompt_tokens == len(lm.tokenizer.encode_chat(kept)) <= 118
    warning = capsys.readouterr().err.replace("\n", " ")
    assert f"oldest {message.dropped_turns} of its 13 turns were left out" in warning
    with pytest.raises(ModelError, match=r"last turn takes \d+ tokens .* window of 128 leaves 118"):
        lm.respond([{"role": "user", "content": "z " * 200}], max_new_tokens=10)


def test_a_model_without_a_template_says_so() -> None:
    assert tiny_lm().capabilities == {"generate", "score", "embed", "head", "chat"}
    assert bare_lm().capabilities == {"generate", "score", "embed", "head"}
    with pytest.raises(TokenizerError, match="no chat template"):
        bare_lm().chat(TALK)


@pytest.mark.parametrize("talk", ["Hello", {"role": "user", "content": "x"}, [{"content": "x"}], ["Hello"]])
def test_what_is_no_conversation_is_an_error_with_an_example(talk: object) -> None:
    with pytest.raises(ModelError, match=r'expected a list such as \[\{"role": "user"'):
        tiny_lm().chat(talk)  # type: ignore[arg-type]


# ---- scores and logits


def test_logits_are_those_of_the_model() -> None:
    lm = tiny_lm()
    ids = lm.tokenizer.encode(PROMPTS[2])
    logits_TV = lm.logits(ids)
    with torch.no_grad():
        wanted_TV = lm.model(torch.tensor([ids]))[0].numpy()
    np.testing.assert_allclose(logits_TV, wanted_TV, atol=1e-5)
    assert logits_TV.dtype == np.float32
    assert np.array_equal(lm.logits(torch.tensor(ids)), logits_TV)


def test_padded_input_without_a_mask_is_refused() -> None:
    lm = tiny_lm()
    padded = torch.tensor([[5, 6, 7], [5, 6, lm.tokenizer.pad_id or 0]])
    with pytest.raises(ModelError, match="without padding; got a tensor of shape"):
        lm.logits(padded)
    with pytest.raises(ModelError, match="without padding; got a tensor of shape"):
        lm.score([padded])
    with pytest.raises(ModelError, match="token_ids is empty"):
        lm.logits([])


def test_scores_follow_the_chain_rule_from_the_document_start() -> None:
    lm = tiny_lm()
    start = lm.tokenizer.document_start_id
    a, b = lm.tokenizer.encode(PROMPTS[0]), lm.tokenizer.encode(" and looked")
    whole = lm.score([[*a, *b]])[0]
    first, then = lm.score([PROMPTS[0]])[0], lm.score([" and looked"], [PROMPTS[0]])[0]
    parts = np.concatenate([first.token_logprobs, then.token_logprobs])
    np.testing.assert_allclose(parts, whole.token_logprobs, atol=1e-5, rtol=1e-5)
    logprobs_TV = torch.tensor(lm.logits([start, *a])).log_softmax(-1)
    wanted = logprobs_TV[:-1].gather(-1, torch.tensor(a)[:, None])[:, 0]
    np.testing.assert_allclose(first.token_logprobs, wanted, atol=1e-5, rtol=1e-5)
    assert first.token_logprobs.dtype == np.float32


def test_batched_scores_equal_single_ones() -> None:
    lm = tiny_lm()
    for one, many in zip(PROMPTS, lm.score(PROMPTS), strict=True):
        alone = lm.score([one])[0].token_logprobs
        np.testing.assert_allclose(alone, many.token_logprobs, atol=1e-5, rtol=1e-5)


def test_without_a_start_token_the_first_token_is_unscored_and_it_says_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lm = bare_lm()
    found = lm.score(["The cat"])[0]
    assert found.unscored == 1
    assert len(found.token_logprobs) == len(lm.tokenizer.encode("The cat")) - 1
    assert "first token of a text without context is not scored" in capsys.readouterr().err.replace("\n", " ")
    assert lm.score(["The cat"], ["A"])[0].unscored == 0


def test_bad_score_calls() -> None:
    lm = tiny_lm()
    with pytest.raises(ConfigError, match="takes a list of texts"):
        lm.score("one text")
    with pytest.raises(ConfigError, match="2 texts, but 1 contexts"):
        lm.score(["a", "b"], ["c"])
    with pytest.raises(ModelError, match="text 1 is empty"):
        lm.score(["a", ""])
    assert lm.score([]) == []


# ---- loading


def test_saved_and_loaded_models_agree_and_the_network_is_never_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **rest: object) -> None:
        raise AssertionError("a local path was loaded over the network")

    lm = tiny_lm()
    lm.save(tmp_path / "model")
    monkeypatch.setattr(socket.socket, "connect", refuse)
    again = shizuku.load(tmp_path / "model")
    assert again.path == tmp_path / "model"
    ids = lm.tokenizer.encode(PROMPTS[2])
    np.testing.assert_allclose(again.logits(ids), lm.logits(ids), atol=1e-5)
    same = shizuku.load(tmp_path / "model", runtime="torch")
    assert np.array_equal(same.logits(ids), lm.logits(ids))
    assert LanguageModel.from_pretrained(str(tmp_path / "model")).generate(
        "A", max_new_tokens=9
    ) == lm.generate("A", max_new_tokens=9)


def test_generation_config_sets_the_defaults(tmp_path: Path) -> None:
    model = tiny_model(tokenizer().vocab_size)
    said = {"temperature": 0.3, "top_k": 0, "repetition_penalty": 1.2, "do_sample": True, "eos_token_id": 1}
    lm = LanguageModel(model, tokenizer(), generation=said)
    settings = lm.settings(top_p=0.5)
    assert (settings.temperature, settings.top_k, settings.top_p) == (0.3, None, 0.5)
    assert settings.repetition_penalty == 1.2
    assert LanguageModel(model, tokenizer(), generation={**said, "do_sample": False}).settings().greedy
    assert LanguageModel(model, tokenizer()).settings().greedy
    lm.save_pretrained(tmp_path / "model")
    assert json.loads((tmp_path / "model" / "generation_config.json").read_text())["temperature"] == 0.3
    assert shizuku.load(tmp_path / "model").settings().temperature == 0.3
    with pytest.raises(CheckpointError, match=r"generation_config.json: --top-p 7"):
        LanguageModel(model, tokenizer(), generation={"do_sample": True, "top_p": 7.0})


def test_a_window_longer_than_the_models_context_is_refused() -> None:
    model = tiny_model(tokenizer().vocab_size)
    with pytest.raises(ConfigError, match="--context 129: the model's context length is 128; give 1 to 128"):
        LanguageModel(model, tokenizer(), context=129)
    lm = LanguageModel(model, tokenizer(), context=16)
    with pytest.raises(ConfigError, match="context length 16; at most 14 fit"):
        lm.generate("A", max_new_tokens=16)


def test_a_tokenizer_larger_than_the_model_is_refused() -> None:
    with pytest.raises(ModelError, match="ids, but the model only 100"):
        LanguageModel(tiny_model(100), tokenizer())


# ---- the real one


@pytest.mark.slow
def test_smollm2_answers_and_batches_of_any_lengths_agree(smollm2_gguf: Path) -> None:
    # Of the native runtime's sameness there are other tests; its rounded activations may pick other words.
    lm = shizuku.load(smollm2_gguf, runtime="torch")
    assert "chat" in lm.capabilities
    assert "Paris" in lm.chat(
        [{"role": "user", "content": "What is the capital of France?"}], temperature=0.0, max_new_tokens=40
    )
    prompts = [
        "Once upon a time",
        "The three most important rules of cooking rice are",
        "1, 2, 3, 4,",
        "def add(a, b):\n",
        "In the middle of the night, when everyone in the house was asleep, the old clock began to",
    ]
    alone = [lm.generate(prompt, temperature=0.0, max_new_tokens=24) for prompt in prompts]
    for batch_size in (2, 5):
        together = lm.generate(prompts, temperature=0.0, max_new_tokens=24, batch_size=batch_size)
        for prompt, one, other in zip(prompts, alone, together, strict=True):
            assert one == other or nearly_tied(lm, prompt, one, other)


def nearly_tied(lm: LanguageModel, prompt: str, one: str, other: str) -> bool:
    """Whether the two texts part where the two best logits lie within 1e-4."""
    ids, others = lm.tokenizer.encode(prompt + one), lm.tokenizer.encode(prompt + other)
    parted = next(n for n, (a, b) in enumerate(zip(ids, others, strict=False)) if a != b)
    second, first = np.sort(lm.logits(ids[:parted])[-1])[-2:]
    return float(first - second) < 1e-4


def test_rows_that_only_fill_up_the_matrix_are_never_chosen() -> None:
    """Qwen3's embedding, for one, has more rows than its tokenizer has tokens."""
    known = tokenizer().vocab_size
    model = tiny_model(known + 50)
    with torch.no_grad():
        model.embedding.weight[known:] *= 40  # the padding would win nearly every draw
    lm = LanguageModel(model, tokenizer())
    for temperature in (0.0, 1.0):
        assert isinstance(lm.generate(PROMPTS, max_new_tokens=30, temperature=temperature, seed=0), list)


def test_more_texts_at_once_than_the_engine_takes() -> None:
    lm = tiny_lm()
    few = LanguageModel(lm.model, lm.tokenizer, engine=EngineSettings(running=2, waiting=3))
    texts = [PROMPTS[number % len(PROMPTS)] for number in range(12)]
    assert few.generate(texts, max_new_tokens=3, temperature=0.0, batch_size=12) == lm.generate(
        texts, max_new_tokens=3, temperature=0.0
    )


def test_the_usual_length_of_an_answer_is_no_demand() -> None:
    made = tiny_lm()
    lm = LanguageModel(made.model, made.tokenizer, generation={"max_new_tokens": 10_000})
    room = lm.context - len(lm.prompt_ids("The cat"))
    assert lm.generate("The cat") == made.generate("The cat", max_new_tokens=room)
    with pytest.raises(ConfigError, match="max-new-tokens 10000"):
        lm.generate("The cat", max_new_tokens=10_000)


def test_a_model_that_fills_in_has_no_perplexity() -> None:
    tokenizer = Tokenizer.train(["the cat sat on the mat"] * 3, 22, kind="wordpiece")
    sizes = {"context": 32, "width": 16, "layers": 1, "heads": 2, "ffn_width": 16}
    config = EncoderConfig(vocab_size=tokenizer.vocab_size, **sizes)
    with pytest.raises(ModelError, match="pseudo-perplexity"):
        evaluate_text(LanguageModel(Encoder(config), tokenizer), ["the cat"])
