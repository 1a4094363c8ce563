"""What if: a logged reply takes another token, in one call. Other processes ask the log's owner for it, too."""

from ..errors import UserError
from .events import Done
from .request import BranchRequest, fresh_seed
from .service import Chat


async def what_if(chat: Chat, *, turn: int, step: int, choice: int | str, fresh: bool) -> int:
    """Let the reply take ``choice`` at recorded step ``step`` and log how it goes on: the new turn's number.

    ``choice`` is a token, or text that is one. ``fresh`` draws anew; else only the choice differs.
    """
    recorded = await chat.store.turn(turn)
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
