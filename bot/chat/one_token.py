"""What somebody types where one token is asked for."""

from ..errors import UserError
from ..explain.text import quoted
from ..predict.vocabulary import Vocabulary


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
