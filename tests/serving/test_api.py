"""OpenAI's own client against our server: what it gets is what the model gives in process."""

import base64
import math
from collections.abc import Iterator

import numpy as np
import openai
import pytest
import torch
from live_server import Live, running

from tiny_language_model import bare_lm, tiny_lm

HELLO = [{"role": "user", "content": "The cat sat on the mat."}]


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    with running({"tiny": tiny_lm(), "bare": bare_lm()}) as found:
        yield found


@pytest.fixture(scope="module")
def client(live: Live) -> openai.OpenAI:
    return live.client()


# ---- models


def test_models_are_listed_and_found(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["tiny", "bare"]
    card = client.models.retrieve("tiny").model_dump()
    lm = tiny_lm()
    assert (card["object"], card["context_length"]) == ("model", 128)
    assert card["capabilities"] == sorted(lm.capabilities)
    assert card["parameters"] == sum(p.numel() for p in lm.model.parameters())
    with pytest.raises(openai.NotFoundError, match=r"does not exist\. Served here: tiny, bare"):
        client.models.retrieve("gpt-4")


def test_a_model_of_several_has_to_be_named(live: Live) -> None:
    said = live.post("/v1/completions", {"prompt": "The"}).error
    assert (said["param"], said["code"]) == ("model", "missing_required_parameter")


# ---- chat


def test_chat_says_what_the_model_says(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="tiny", messages=HELLO, max_tokens=24, temperature=0)
    lm = tiny_lm()
    expected = lm.respond(HELLO, max_new_tokens=24, temperature=0.0)
    assert answer.choices[0].message.content == expected.content
    assert answer.choices[0].finish_reason == expected.finish
    assert answer.usage.prompt_tokens == expected.usage.prompt_tokens
    assert answer.usage.completion_tokens == expected.usage.completion_tokens
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_a_stream_is_the_same_in_pieces(client: openai.OpenAI) -> None:
    asked = {"model": "tiny", "messages": HELLO, "max_tokens": 24, "temperature": 0}
    whole = client.chat.completions.create(**asked)
    chunks = list(
        client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
    )
    assert chunks[0].choices[0].delta.role == "assistant"
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert chunks[-1].usage == whole.usage and not chunks[-1].choices
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1])
    assert text == whole.choices[0].message.content
    assert [c.choices[0].finish_reason for c in chunks[:-1]][-1] == whole.choices[0].finish_reason
    assert len(chunks) > 4


def test_draws_repeat_with_the_seed_and_choices_differ(client: openai.OpenAI) -> None:
    def texts(seed: int | None) -> list[str | None]:
        answer = client.chat.completions.create(
            model="tiny", messages=HELLO, max_tokens=16, temperature=1.5, n=3, seed=seed
        )
        assert [choice.index for choice in answer.choices] == [0, 1, 2]
        return [choice.message.content for choice in answer.choices]

    first = texts(7)
    assert texts(7) == first and texts(8) != first
    assert len(set(first)) == 3
    assert texts(None) != texts(None)


def test_log_probabilities_of_a_chat(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="tiny", messages=HELLO, max_tokens=24, temperature=1.2, seed=3, logprobs=True, top_logprobs=4
    )
    lm = tiny_lm()
    entries = answer.choices[0].logprobs.content
    ids = [entry.model_extra["id"] for entry in entries]
    prompt = lm.tokenizer.encode_chat(HELLO)
    expected_TV = torch.from_numpy(lm.logits([*prompt, *ids])).log_softmax(-1)[len(prompt) - 1 : -1]
    for entry, token, logprobs_V in zip(entries, ids, expected_TV, strict=True):
        assert entry.logprob == pytest.approx(float(logprobs_V[token]), abs=1e-5)
        best = logprobs_V.topk(4)
        assert [t.model_extra["id"] for t in entry.top_logprobs] == best.indices.tolist()
        assert [t.logprob for t in entry.top_logprobs] == pytest.approx(best.values.tolist(), abs=1e-5)
        assert (entry.bytes is None) == (token in lm.tokenizer.control)
        assert bytes(entry.bytes or []) == lm.tokenizer.written(token)
    # The bytes of the tokens are the text, also where a character is spread over several.
    data = b"".join(bytes(entry.bytes or []) for entry in entries)
    assert data.decode("utf-8", errors="replace") == answer.choices[0].message.content
    assert any(
        len(bytes(e.bytes or []).decode("utf-8", "ignore").encode()) < len(e.bytes or []) for e in entries
    )


def test_tokens_of_a_stream_come_with_their_text(client: openai.OpenAI) -> None:
    asked = {"model": "tiny", "messages": HELLO, "max_tokens": 24, "temperature": 1.2, "seed": 3}
    whole = client.chat.completions.create(**asked, logprobs=True)
    entries, data, text = [], b"", ""
    for chunk in client.chat.completions.create(**asked, logprobs=True, stream=True):
        text += chunk.choices[0].delta.content or ""
        for entry in chunk.choices[0].logprobs.content if chunk.choices[0].logprobs else []:
            entries.append(entry)
            data += bytes(entry.bytes or [])
        assert data.decode("utf-8", errors="ignore").startswith(text) or "\ufffd" in text
    assert entries == whole.choices[0].logprobs.content


def test_a_stop_string_ends_the_text_and_its_tokens_are_not_given(client: openai.OpenAI) -> None:
    asked = {"model": "tiny", "messages": HELLO, "max_tokens": 40, "temperature": 1.2, "seed": 3}
    text = client.chat.completions.create(**asked).choices[0].message.content
    stop = text[9:12]
    answer = client.chat.completions.create(**asked, stop=["never there", stop], logprobs=True)
    cut = answer.choices[0]
    assert (cut.message.content, cut.finish_reason) == (text[: text.index(stop)], "stop")
    data = b"".join(bytes(entry.bytes or []) for entry in cut.logprobs.content)
    assert data.decode("utf-8", "replace").startswith(cut.message.content)
    assert len(cut.logprobs.content) < answer.usage.completion_tokens


def test_biases_and_penalties_change_the_choice(client: openai.OpenAI) -> None:
    lm = tiny_lm()
    asked = {"model": "tiny", "prompt": "The cat", "max_tokens": 6, "temperature": 0}
    token = lm.tokenizer.encode("z")[0]
    forced = client.completions.create(**asked, logit_bias={str(token): 100})
    assert forced.choices[0].text == "zzzzzz"
    # One penalty off for each time: -100 for the first repetition is not possible, so bias and penalty meet.
    varied = client.completions.create(**asked, logit_bias={str(token): 100}, frequency_penalty=2)
    assert varied.choices[0].text == "zzzzzz"
    ids = lm.prompt_ids("The cat")
    made: list[int] = []
    for _ in range(6):
        logits_V = torch.from_numpy(lm.logits([*ids, *made]))[-1].double()
        for token in set(made):
            logits_V[token] -= 1.5 + 0.5 * made.count(token)
        made.append(int(logits_V.argmax()))
    penalised = client.completions.create(**asked, presence_penalty=1.5, frequency_penalty=0.5)
    assert penalised.choices[0].text == lm.tokenizer.decode(made)
    assert penalised.choices[0].text != client.completions.create(**asked).choices[0].text


def test_the_smallest_numbers_are_limits_and_not_failures(client: openai.OpenAI) -> None:
    asked = {"model": "tiny", "prompt": "The cat", "max_tokens": 8, "seed": 1}
    best = client.completions.create(**asked, temperature=0).choices[0].text
    for more in ({"temperature": 1e-308}, {"top_p": 0}, {"temperature": 1e-6, "top_p": 1e-300}):
        assert client.completions.create(**asked, **more).choices[0].text == best
    assert (
        client.completions.create(**asked, temperature=100, extra_body={"top_k": 1}).choices[0].text == best
    )


def test_a_model_without_template_refuses_conversations(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="has no chat template") as caught:
        client.chat.completions.create(model="bare", messages=HELLO)
    assert caught.value.code == "no_chat_template"


# ---- completions


def test_prompts_in_four_forms(client: openai.OpenAI) -> None:
    lm = tiny_lm()
    texts = ["The cat", "A boat went over"]
    ids = [lm.prompt_ids(text) for text in texts]
    asked = {"model": "tiny", "max_tokens": 8, "temperature": 0}
    expected = lm.generate(texts, max_new_tokens=8, temperature=0.0)
    for prompt in (texts, ids):
        both = client.completions.create(**asked, prompt=prompt)
        assert [choice.text for choice in both.choices] == expected
        assert both.usage.prompt_tokens == sum(map(len, ids))
        one = client.completions.create(**asked, prompt=prompt[1])
        assert [choice.text for choice in one.choices] == expected[1:]


def test_a_completion_makes_16_tokens_unless_told_otherwise(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="bare", prompt="The cat", temperature=0)
    assert (answer.usage.completion_tokens, answer.choices[0].finish_reason) == (16, "length")
    rest = client.completions.create(model="bare", prompt="The cat", temperature=0, max_tokens=100_000)
    assert rest.usage.total_tokens == bare_lm().context
    assert rest.choices[0].finish_reason == "length"


@pytest.mark.parametrize("max_tokens", [0, 1, 5])
def test_echoed_tokens_have_the_scores_that_score_gives(client: openai.OpenAI, max_tokens: int) -> None:
    lm = bare_lm()
    text = "In the town by the sea 雨が降っています。"
    ids = lm.tokenizer.encode(text)
    answer = client.completions.create(
        model="bare", prompt=[ids, ids[:7]], echo=True, max_tokens=max_tokens, logprobs=2, temperature=0
    )
    for sequence, choice in zip([ids, ids[:7]], answer.choices, strict=True):
        columns = choice.logprobs
        made = max_tokens
        assert {len(column) for column in columns.model_dump().values()} == {len(sequence) + made}
        score = lm.score([sequence[1:]], contexts=[sequence[:1]])[0]
        assert columns.token_logprobs[0] is None and columns.top_logprobs[0] is None
        assert columns.token_logprobs[1 : len(sequence)] == pytest.approx(
            score.token_logprobs.tolist(), abs=1e-5
        )
        best_TV = torch.from_numpy(lm.logits(sequence)).log_softmax(-1)
        for place in range(1, len(sequence)):
            top = sorted(columns.top_logprobs[place].values(), reverse=True)
            assert top[:2] == pytest.approx(best_TV[place - 1].topk(2).values.tolist(), abs=1e-5)
            assert columns.token_logprobs[place] in top
        assert choice.text.startswith(lm.tokenizer.decode(sequence))
        for token, offset in zip(columns.tokens, columns.text_offset, strict=True):
            assert token.startswith("bytes:") or choice.text.startswith(token, offset)
    assert answer.usage.completion_tokens == 2 * max_tokens


def test_echo_alone_gives_the_prompt_and_what_follows(client: openai.OpenAI) -> None:
    asked = {"model": "tiny", "prompt": "The cat", "temperature": 0}
    alone = client.completions.create(**asked, max_tokens=6).choices[0].text
    assert client.completions.create(**asked, max_tokens=6, echo=True).choices[0].text == "The cat" + alone
    only = client.completions.create(**asked, max_tokens=0, echo=True)
    assert (only.choices[0].text, only.choices[0].finish_reason) == ("The cat", "length")
    pieces = client.completions.create(**asked, max_tokens=6, echo=True, stream=True)
    assert "".join(piece.choices[0].text for piece in pieces) == "The cat" + alone


# ---- embeddings


def test_embeddings_are_means_of_length_one(client: openai.OpenAI) -> None:
    lm = tiny_lm()
    texts = ["The cat", "A boat went over the lake"]
    expected = []
    for text in texts:
        with torch.no_grad():
            mean_D = lm.model.hidden(torch.tensor([lm.prompt_ids(text)]))[0].mean(0)
        expected.append((mean_D / mean_D.norm()).numpy())
    given = client.embeddings.create(model="tiny", input=texts)  # base64, as the client asks by itself
    plain = client.embeddings.create(model="tiny", input=texts, encoding_format="float")
    for found in (given, plain):
        np.testing.assert_allclose([e.embedding for e in found.data], expected, atol=1e-5)
    ids = client.embeddings.create(model="tiny", input=lm.prompt_ids(texts[1]), encoding_format="base64")
    vector = np.frombuffer(base64.b64decode(ids.data[0].embedding), dtype="<f4")
    np.testing.assert_allclose(vector, expected[1], atol=1e-5)
    assert given.usage.prompt_tokens == sum(len(lm.prompt_ids(text)) for text in texts)
    width = len(expected[0])
    assert client.embeddings.create(model="tiny", input="a", dimensions=width)
    with pytest.raises(openai.BadRequestError, match="can't be shortened"):
        client.embeddings.create(model="tiny", input="a", dimensions=width - 1)


# ---- what the page shows


def test_tokens_there_and_back(live: Live) -> None:
    lm = tiny_lm()
    found = live.post("/tokenize", {"model": "tiny", "text": "The cat 雨"}).json()
    assert found["tokens"] == lm.tokenizer.encode("The cat 雨")
    assert (
        live.post("/detokenize", {"model": "tiny", "tokens": found["tokens"]}).json()["text"] == "The cat 雨"
    )
    chat = live.post("/tokenize", {"model": "tiny", "messages": HELLO}).json()
    assert chat["tokens"] == lm.tokenizer.encode_chat(HELLO)


def test_the_map_of_a_head_is_what_the_model_computes(live: Live) -> None:
    lm = tiny_lm()
    found = live.post("/shizuku/attention", {"model": "tiny", "text": "The cat sat", "layer": 1, "head": 2})
    shown = found.json()
    ids = lm.tokenizer.encode("The cat sat")
    from shizuku.models.hooks import recorded

    with torch.no_grad(), recorded(lm.model, "blocks.1.attention.pattern") as kept:
        lm.model(torch.tensor([ids]))
    np.testing.assert_allclose(shown["weights"], kept["blocks.1.attention.pattern"][0, 2].numpy(), atol=1e-5)
    assert (shown["layers"], shown["heads"], shown["ids"]) == (2, 4, ids)
    assert all(math.isclose(sum(row), 1, abs_tol=1e-4) for row in shown["weights"])
    assert (
        live.post("/shizuku/attention", {"model": "tiny", "text": "a", "layer": 2}).error["param"] == "layer"
    )
    long = live.post("/shizuku/attention", {"model": "tiny", "tokens": [5] * 129})
    assert "129 tokens: the map is made for 1 to 128" in long.error["message"]


def test_live_numbers_and_metrics(live: Live, client: openai.OpenAI) -> None:
    def value(name: str) -> float:
        lines = live.get("/metrics").data.decode().splitlines()
        return float(next(line for line in lines if line.startswith(name)).rpartition(" ")[2])

    made = 'shizuku_generated_tokens_total{model="bare"}'
    first = 'shizuku_time_to_first_token_seconds_count{model="bare"}'
    answered = 'shizuku_requests_total{route="/v1/completions",status="200"}'
    client.completions.create(model="bare", prompt="The", max_tokens=1, temperature=0)
    before = [value(name) for name in (made, first, answered)]
    client.completions.create(model="bare", prompt="The", max_tokens=9, temperature=0)
    assert [value(name) for name in (made, first, answered)] == [before[0] + 9, before[1] + 1, before[2] + 1]
    status = live.get("/shizuku/status").json()
    assert status["memory_bytes"] > 1e7 and status["tokens_per_second"] > 0
    assert [model["id"] for model in status["models"]] == ["tiny", "bare"]
