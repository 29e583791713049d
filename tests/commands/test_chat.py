"""`shizuku chat`, driven through a pipe."""

import io
import json
from pathlib import Path

import pytest

from shizuku import cli
from shizuku.checkpoints.directory import save_checkpoint
from shizuku.commands import chat
from shizuku.language_model import LanguageModel
from shizuku.models.encoder import Encoder, EncoderConfig
from shizuku.text.tokenizer import Tokenizer
from tiny_language_model import bare_lm, tiny_lm


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_lm().save(tmp_path_factory.mktemp("models") / "tiny"))


class Talk:
    """Calls the verb with lines on its standard input."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.capsys, self.monkeypatch = capsys, monkeypatch

    def __call__(self, model: str, lines: list[str], *flags: str) -> tuple[int, str, str]:
        self.monkeypatch.setattr("sys.stdin", io.StringIO("".join(line + "\n" for line in lines)))
        code = cli.run(["chat", model, "-n", "6", *flags])
        out, err = self.capsys.readouterr()
        return code, out, " ".join(err.split())

    def messages(self, model: str, lines: list[str], *flags: str) -> list[dict[str, str]]:
        code, out, _ = self(model, lines, *flags, "--json")
        assert code == 0
        return json.loads(out)["messages"]


@pytest.fixture
def talk(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Talk:
    return Talk(capsys, monkeypatch)


def test_answers_go_to_stdout_and_the_speed_to_stderr(model: str, talk: Talk) -> None:
    code, out, err = talk(model, ["Where is the cat?"])
    answer = tiny_lm().chat([{"role": "user", "content": "Where is the cat?"}], max_new_tokens=6)
    assert (code, out) == (0, answer + "\n")
    assert "tokens/s" in err


def test_history_is_kept_and_reset_forgets_it(model: str, talk: Talk) -> None:
    messages = talk.messages(model, ["one", "", "two"])
    assert [m["role"] for m in messages] == ["user", "assistant"] * 2
    assert messages[3]["content"] == tiny_lm().chat(messages[:3], max_new_tokens=6)
    assert talk.messages(model, ["one", "/reset", "two"])[0]["content"] == "two"


def test_the_system_prompt_reaches_the_model(model: str, talk: Talk) -> None:
    system = {"role": "system", "content": "Be brief."}
    wanted = tiny_lm().chat([system, {"role": "user", "content": "one"}], max_new_tokens=6)
    assert talk.messages(model, ["/system Be brief.", "one"])[1]["content"] == wanted
    assert talk.messages(model, ["one"], "--system", "Be brief.")[1]["content"] == wanted


def test_messages_of_many_lines(model: str, talk: Talk) -> None:
    lines = ['"""first', "second", '  third"""', "a\\", "b", '"""', "c", '"""', "//not a command"]
    asked = [m["content"] for m in talk.messages(model, lines) if m["role"] == "user"]
    assert asked == ["first\nsecond\n  third", "a\nb", "c", "/not a command"]


def test_quit_leaves_and_commands_explain_themselves(model: str, talk: Talk) -> None:
    code, out, err = talk(model, ["/help", "/what", "/save", "/load nowhere.json", "/quit", "never asked"])
    assert (code, out) == (0, "")
    assert "/reset forget the conversation" in err
    assert "no command /what" in err
    assert "say where: /save FILE" in err
    assert "nowhere.json" in err


def test_saved_conversations_go_on(model: str, talk: Talk, tmp_path: Path) -> None:
    file = tmp_path / "talk.json"
    first = talk.messages(model, ["one", f"/save {file}"])
    assert json.loads(file.read_text(encoding="utf-8"))["messages"] == first
    both = talk.messages(model, [f"/load {file}", "two"])
    assert both[:2] == first
    assert len(both) == 4
    file.write_text('{"messages": [1]}', encoding="utf-8")
    assert "holds no conversation" in talk(model, [f"/load {file}"])[2]


def test_a_model_without_a_template_goes_on_openly_as_completion(talk: Talk, tmp_path: Path) -> None:
    bare_lm().save(tmp_path / "bare")
    _, out, err = talk(str(tmp_path / "bare"), ["The cat", "A boat"])
    assert err.count("has no chat template") == 1
    first = bare_lm().generate("The cat", max_new_tokens=6)
    second = bare_lm().generate(f"The cat\n{first}\nA boat", max_new_tokens=6)
    assert out == f"{first}\n{second}\n"


def test_a_message_that_does_not_fit_is_said_and_the_talk_goes_on(model: str, talk: Talk) -> None:
    code, out, err = talk(model, ["z " * 300, "one"])
    assert code == 0
    assert "no answer: the last turn takes" in err
    assert out.strip()


def test_ctrl_c_stops_the_answer_and_not_the_program(model: str, talk: Talk) -> None:
    stream_chat = LanguageModel.stream_chat

    def interrupted(self, *args, **settings):  # type: ignore[no-untyped-def]
        pieces = stream_chat(self, *args, **settings)
        step = type(pieces).__next__

        class Interrupting(type(pieces)):  # type: ignore[misc]
            def __next__(self) -> str:
                if self.usage.completion_tokens >= 2:
                    raise KeyboardInterrupt
                return step(self)

        pieces.__class__ = Interrupting
        return pieces

    talk.monkeypatch.setattr(LanguageModel, "stream_chat", interrupted)
    code, _, err = talk(model, ["one", "two"])
    assert code == 0
    assert err.count("stopped by Ctrl-C") == 2


def test_the_default_model_is_named_in_the_help() -> None:
    assert chat.DEFAULT_MODEL in (chat.Config.__doc__ or "")


def test_a_model_that_continues_no_text_is_refused_before_the_first_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = EncoderConfig(vocab_size=300, context=32, width=8, layers=1, heads=1, ffn_width=8)
    tokenizer = Tokenizer.train(["hello there"], None, kind="characters")
    save_checkpoint(tmp_path / "encoder", model=Encoder(config), tokenizer=tokenizer)
    assert cli.run(["chat", str(tmp_path / "encoder")]) == 2
    said = capsys.readouterr().err
    assert "cannot continue texts" in said and "/help" not in said
