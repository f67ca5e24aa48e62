"""`%agent` lines: options first, then a prompt that nobody touches."""

from __future__ import annotations

import pytest

from agent_kernel.shell.options import OPTIONS, UsageError, parse, usage


def test_the_prompt_is_left_as_typed() -> None:
    options, prompt = parse('--model demo  Don\'t use "quotes" or C:\\paths --new')
    assert options.model == "demo" and not options.new
    assert prompt == 'Don\'t use "quotes" or C:\\paths --new'


def test_all_options_are_read() -> None:
    options, prompt = parse(
        "--model=m --session 'my work' --new --permission ask --budget 0.5 --max-turns 3 "
        "--sandbox none --background --agent reviewer do it"
    )
    assert prompt == "do it"
    assert options.overrides() == {
        "model": "m", "permission": "ask", "budget": 0.5, "max_turns": 3, "sandbox": "none",
        "agent": "reviewer",
    }  # fmt: skip
    assert (options.session, options.new, options.background) == ("my work", True, True)


def test_a_double_dash_ends_the_options() -> None:
    assert parse("--new -- --model is a word")[1] == "--model is a word"


def test_a_prompt_may_begin_with_a_dash() -> None:
    assert parse("- a list\n- of things")[1] == "- a list\n- of things"


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("--modle x", "--modle is not an option of %agent. Did you mean --model?"),
        ("--budget lots", "--budget 'lots' is not a number. For example: --budget 0.50."),
        ("--budget -1 x", "--budget -1 is not possible. Give a number of zero or more."),
        ("--budget nan x", "--budget nan is not possible. Give a number of zero or more."),
        ("--max-turns", "--max-turns needs a value. For example: --max-turns 10."),
        ("--model --new x", "--model needs a value. For example: --model demo."),
        ("--permission yes x", "--permission 'yes' is not one of plan, ask, accept-edits, bypass."),
        ("--new=1 x", "--new takes no value."),
    ],
)
def test_mistakes_are_one_sentence(line: str, sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(line)
    assert str(caught.value) == sentence


def test_the_help_names_every_option() -> None:
    assert all(name in usage() for name in OPTIONS)
