"""A character that took several tokens is shown whole, with its parts, wherever tokens are shown."""

from glasshead.explain.loss import Loss, Scored, SeenToken
from glasshead.explain.tokens import PromptPart
from glasshead.explain.turn import Trace, Turn
from glasshead.predict.engine import ModelIdentity
from glasshead.predict.prompt import Prompt
from glasshead.predict.sampling import Sampling
from glasshead.predict.step import Step
from glasshead.review.comparison import side_by_side
from glasshead.review.microscope import Seen, prompt_tokens, seen_tokens

PIECES = (b"\xe6\x97", b"\xa5", b"\xe8\xaa", b"\x9e", b"!\n")


def test_in_what_the_model_saw() -> None:
    part = PromptPart(0, (11, 12, 13, 14, 15), PIECES, "typed", "user", None)
    first, second, third = prompt_tokens(part)
    assert (first.text, second.text, third.text) == ("日", "語", "!⏎\n")
    assert first.note == "\\xe6\\x97 11\n\\xa5 12"
    assert third.note == "15"


def test_in_how_much_the_question_surprised() -> None:
    logprobs = (None, -0.1, -3.0, -9.0, -0.2)
    seen = tuple(SeenToken(i, i, piece, p, 1) for i, (piece, p) in enumerate(zip(PIECES, logprobs, strict=True)))
    first, second, third = seen_tokens(Scored(seen, Loss((), 0.0, 0.0)))
    assert (first.text, second.text, third.text) == ("日", "語", "!⏎\n")
    assert first.note == "\\xe6\\x97 the first token: nothing predicts it\n\\xa5 0.14 bits"
    assert second.note == "\\xe8\\xaa 4.33 bits\n\\x9e 12.98 bits"
    (alone,) = seen_tokens(Scored((SeenToken(0, 0, b"x", -9.0, 1),), Loss((), 0.0, 0.0)))
    assert second.classes == alone.classes != third.classes


def test_a_token_alone_says_only_what_it_is() -> None:
    assert prompt_tokens(PromptPart(0, (5,), (b" a",), "typed", "user", 1)) == [Seen(" a", "5")]


def turn(*pieces: bytes) -> Turn:
    steps = tuple(Step(i, -1.0, 1, 1.0, 0.0, (), 0.5, (0.0, 1.0), 1.0, (), 0) for i in range(len(pieces)))
    model = ModelIdentity("m", "0", "Q4_1", 4, 64, "0", "test")
    done = ("ok", "length", None, "", "", 0, None, 0, "1")
    return Turn(1, 1, model, Prompt((), ()), (), Sampling(), 1, 0, Trace(steps, pieces, 1, {}), (), *done)


def test_in_a_comparison() -> None:
    """It differs as soon as one of its tokens does."""
    sides = side_by_side(turn(*PIECES), turn(*PIECES[:3]))
    assert [(piece.text, piece.same, piece.index) for piece in sides.left] == [
        ("日", True, 0),
        ("語", False, 2),
        ("!⏎\n", False, 4),
    ]
    assert [piece.text for piece in sides.right] == ["日", "\\xe8\\xaa"]
