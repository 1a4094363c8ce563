"""What if: a logged reply takes another token, in one call. Other processes ask the log's owner for it, too."""

from ..errors import UserError
from ..explain.text import quoted
from ..predict.vocabulary import Vocabulary
from .events import Done
from .request import BranchRequest, fresh_seed
from .service import Chat


def one_token(vocabulary: Vocabulary, text: str) -> int:
    """The token that ``text`` is. Raises UserError where it is none, or several: which was meant is not known."""
    ids = vocabulary.tokenise(text, special=False)
    if not ids:
        raise UserError("no text, no token")
    if len(ids) > 1:
        parts = " ".join(quoted(vocabulary.piece(token)) for token in ids[:8]) + " …" * (len(ids) > 8)
        raise UserError(
            f"{quoted(text.encode())} is {len(ids)} tokens for this model ({parts}): give one, with its leading "
            "space if it has one"
        )
    return ids[0]


async def what_if(chat: Chat, *, turn: int, step: int, choice: int | str, fresh: bool) -> int:
    """Let the reply take ``choice`` at recorded step ``step`` and log how it goes on: the new turn's number.

    ``choice`` is a token, or text that is one. ``fresh`` draws anew; else only the choice differs.
    """
    recorded = await chat.store.turn(turn)
    if isinstance(choice, str):
        name = recorded.model.name
        async with chat.using(name if name in chat.models else "") as speaker:
            choice = one_token(speaker.vocabulary, choice)
    request = BranchRequest(
        turn=turn,
        step=recorded.first_step + step,
        choice=choice,
        seed=fresh_seed() if fresh else None,
        user="terminal",
    )
    done: Done | None = None
    async for event in chat.branch(request):
        done = event if isinstance(event, Done) else done
    if done is None or not done.turn:
        raise UserError("the branch could not be written")
    if done.error:
        raise UserError(done.error)
    return done.turn
