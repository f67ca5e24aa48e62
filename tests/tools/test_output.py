"""Text for the model: harmless, whole where it fits, head and tail where it does not."""

from __future__ import annotations

from agent_kernel.tools.output import cap, line_of, plain


def test_colours_titles_and_links_of_terminals_are_removed() -> None:
    assert (
        plain("\x1b[1;31mred\x1b[0m \x1b]0;title\x07and \x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\")
        == "red and link"
    )


def test_an_escape_that_never_ends_hides_nothing() -> None:
    assert plain("\x1b]0;no end\nstill here\n\x1bPq\nhere too").splitlines()[1:] == [
        "still here",
        "q",
        "here too",
    ]


def test_control_characters_and_lone_surrogates_are_replaced() -> None:
    assert plain("a\0b\x08c\x9bd\udcffe\tf\n") == "a�b�c�d�e\tf\n"


def test_a_progress_bar_shows_its_last_state() -> None:
    assert plain("10%\r50%\r100%\ndone\r\n") == "100%\ndone\n"


def test_a_line_of_a_file_keeps_everything_and_stays_one_line() -> None:
    assert line_of("a\rb\n\x1b[31m\tc\x7f\u2028\udcff") == "a␍b␊␛[31m\tc␡��"


def test_what_fits_is_not_touched() -> None:
    assert cap("x" * 100, 100) == ("x" * 100, 0)


def test_what_does_not_fit_keeps_head_and_tail_and_says_what_is_missing() -> None:
    shown, left_out = cap("a" * 5000 + "b" * 5000, 900, "/session/outputs/1.txt")
    assert shown == (
        "a" * 600 + "\n\n… 9,100 bytes left out; the whole is in /session/outputs/1.txt …\n\n" + "b" * 300
    )
    assert left_out == 9100


def test_bytes_are_counted_not_characters() -> None:
    assert cap("é" * 1000, 300)[1] == 2 * 700


def test_a_file_that_holds_only_a_part_is_not_called_the_whole() -> None:
    assert "what was kept of it is in f" in cap("x" * 1000, 90, "f", whole=False)[0]
