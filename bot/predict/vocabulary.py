"""A model's vocabulary: text to token ids and back, byte for byte."""

import ctypes
import re
from array import array
from collections.abc import Iterable, Sequence
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any, Literal

import llama_cpp

from ..errors import UserError

Kind = Literal["normal", "control", "unknown", "user_defined", "unused", "byte"]

_KINDS: tuple[tuple[int, Kind], ...] = (
    (llama_cpp.LLAMA_TOKEN_ATTR_CONTROL, "control"),
    (llama_cpp.LLAMA_TOKEN_ATTR_UNKNOWN, "unknown"),
    (llama_cpp.LLAMA_TOKEN_ATTR_USER_DEFINED, "user_defined"),
    (llama_cpp.LLAMA_TOKEN_ATTR_UNUSED, "unused"),
    (llama_cpp.LLAMA_TOKEN_ATTR_BYTE, "byte"),
)
SPECIAL: frozenset[Kind] = frozenset(("control", "unknown", "user_defined"))
"""The kinds a template or a parser may act on. Typed text never becomes one of them."""

_SPECIAL_BITS = sum(bit for bit, kind in _KINDS if kind in SPECIAL)

_BYTE_TEXTS = {b"<0x%02X>" % byte for byte in range(256)}

# How many texts are remembered as tokens, up to how many characters each (some 40 MB at worst).
_REMEMBERED, _REMEMBERED_LENGTH = 2048, 4096

# Many pre-tokenisers of llama.cpp go one call deeper for each character of a run: some 26,000 end the process.
# Runs are cut well before (a thread's stack may be smaller); other texts are not, so their tokens stay llama.cpp's.
_LONGEST_RUN = 4096
_RUN = re.compile(r"[^ \t\r\n]+|\s+")

# Texts put before a fragment so that SentencePiece's space goes there and can be cut off again.
_GUARDS = ("\n", "\x01", "。")


class Unwritable(UserError):
    """The vocabulary has no tokens for a character: some lack a few bytes that their makers never met."""

    def __init__(self, character: str) -> None:
        super().__init__(f"this model's vocabulary cannot write the character U+{ord(character):04X}")


class Vocabulary:
    """The vocabulary of a loaded model; dies with it. Safe to use from any thread."""

    def __init__(self, pointer: Any) -> None:
        self._pointer = pointer
        self.n_tokens: int = llama_cpp.llama_vocab_n_tokens(pointer)
        self.bos: int | None = _id(llama_cpp.llama_vocab_bos(pointer))
        self.eos: int | None = _id(llama_cpp.llama_vocab_eos(pointer))
        self.adds_bos: bool = self.bos is not None and llama_cpp.llama_vocab_get_add_bos(pointer)
        self._known: dict[int, bytes] = {}
        # A conversation is tokenised again at every turn; most of its parts are not new.
        self._remembered = lru_cache(maxsize=_REMEMBERED)(self._tokenise)

    def tokenise(self, text: str | bytes, *, special: bool) -> list[int]:
        """Token ids whose bytes are exactly ``text``.

        With ``special``, a special token's text becomes that token. Without, no special token comes out, not even
        a user-defined one, which llama.cpp would match in any text. Raises UserError for text that is not
        UTF-8 (a lone surrogate), and Unwritable for a character that the vocabulary has no tokens for.
        """
        try:
            text = text.decode() if isinstance(text, bytes) else text
            text.encode()
        except UnicodeError:
            raise UserError("this text is not valid Unicode (a lone surrogate?) and cannot become tokens") from None
        if len(text) > _REMEMBERED_LENGTH:
            return list(self._tokenise(text, special))
        return list(self._remembered(text, special))

    def writable(self, text: str) -> str:
        """The text with "?" for each character that the vocabulary cannot write."""
        return "".join(c if self._can_write(c) else "?" for c in text)

    def detokenise(self, ids: Iterable[int]) -> bytes:
        """The bytes of the tokens, special tokens as their text."""
        return b"".join(map(self.piece, ids))

    def piece(self, id: int) -> bytes:
        """The bytes of one token; a special token as its text."""
        if id not in self._known:
            self._known[id] = self._piece(id)
        return self._known[id]

    def pieces(self) -> list[bytes]:
        """The bytes of every token, by id."""
        return list(map(self._piece, range(self.n_tokens)))

    def kind(self, id: int) -> Kind:
        """What sort of token it is. Special kinds go first where a token has several."""
        if not 0 <= id < self.n_tokens:
            raise IndexError(f"token id {id} is outside the vocabulary of {self.n_tokens}")
        attributes = self._attributes[id]
        return next((kind for bit, kind in _KINDS if attributes & bit), "normal")

    def is_end(self, id: int) -> bool:
        """Whether the token ends a reply (end-of-generation)."""
        return bool(llama_cpp.llama_vocab_is_eog(self._pointer, id))

    @cached_property
    def ends(self) -> frozenset[int]:
        """The tokens that end a reply."""
        return frozenset(filter(self.is_end, range(self.n_tokens)))

    @cached_property
    def special(self) -> dict[int, str]:
        """Every special token and its text."""
        ids = (id for id, attributes in enumerate(self._attributes) if attributes & _SPECIAL_BITS)
        return {id: self.piece(id).decode(errors="replace") for id in ids}

    @property
    def is_sound(self) -> bool:
        """Whether llama.cpp can tokenise any text with it.

        SentencePiece falls back on byte tokens; where one is missing, llama.cpp ends the process at the first text
        that needs it.
        """
        if llama_cpp.llama_vocab_type(self._pointer) != llama_cpp.LLAMA_VOCAB_TYPE_SPM:
            return True
        byte = llama_cpp.LLAMA_TOKEN_ATTR_BYTE
        ids = (id for id, attributes in enumerate(self._attributes) if attributes & byte)
        return {llama_cpp.llama_vocab_get_text(self._pointer, id) for id in ids} >= _BYTE_TEXTS

    @cached_property
    def _attributes(self) -> "array[int]":
        return array("i", (llama_cpp.llama_vocab_get_attr(self._pointer, id) for id in range(self.n_tokens)))

    @cached_property
    def _by_text(self) -> dict[str, int]:
        # Where two special tokens share a text, the first is meant.
        return {text: id for id, text in reversed(self.special.items()) if text}

    @cached_property
    def _special_pattern(self) -> re.Pattern[str]:
        longest_first = sorted(self._by_text, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    @cached_property
    def _special_starts(self) -> re.Pattern[str]:
        """Matches, without taking it in, at each character where a special token's text begins."""
        return re.compile(f"(?={self._special_pattern.pattern})")

    @cached_property
    def _bytes(self) -> dict[int, int]:
        """For each byte value a token that is just this byte and not special."""
        found: dict[int, int] = {}
        for id in range(self.n_tokens):
            piece = self.piece(id) if (kind := self.kind(id)) in ("normal", "byte") else b""
            # Where both write this byte, the byte token proper goes first.
            if len(piece) == 1 and (kind == "byte" or piece[0] not in found):
                found[piece[0]] = id
        return found

    def _tokenise(self, text: str, special: bool) -> "array[int]":
        if not special:
            return array("i", self._plain(text))
        # Not llama.cpp's own parsing: it drops whitespace beside some tokens and puts spaces after others,
        # so that the prompt would no longer be what the template wrote.
        ids = array("i")
        at = 0
        for match in self._special_pattern.finditer(text):
            ids.extend(self._plain(text[at : match.start()]))
            ids.append(self._by_text[match.group()])
            at = match.end()
        ids.extend(self._plain(text[at:]))
        return ids

    def _plain(self, text: str) -> Sequence[int]:
        if len(text) <= _LONGEST_RUN:
            return self._written(text)
        runs = (range(*match.span(), _LONGEST_RUN) for match in _RUN.finditer(text))
        return self._in_parts(text, [cut for run in runs for cut in run[1:]])

    def _in_parts(self, text: str, cuts: Sequence[int]) -> list[int]:
        return [id for start, end in pairwise((0, *cuts, len(text))) for id in self._part(text[start:end])]

    def _part(self, text: str) -> Sequence[int]:
        # A text whose every second character begins a special token comes down to single ones, over and over.
        return self._remembered(text, False) if len(text) == 1 else self._written(text)

    def _written(self, text: str) -> Sequence[int]:
        """Tokens of the text and no special ones; its runs are short enough for llama.cpp."""
        if not text:
            return ()
        ids = self._fragment(text)
        if ids is not None and not any(id in self.special for id in ids) and self.detokenise(ids) == text.encode():
            return ids
        if len(text) == 1:
            return self._spelled(text)
        # Cut every special token's text after its first character; whatever else it was is halved until it works.
        cuts = [match.start() + 1 for match in self._special_starts.finditer(text)]
        return self._in_parts(text, [cut for cut in cuts if 0 < cut < len(text)] or [len(text) // 2])

    def _spelled(self, character: str) -> Sequence[int]:
        """One character, byte by byte: the last resort."""
        try:
            return [self._bytes[byte] for byte in character.encode()]
        except KeyError:
            raise Unwritable(character) from None

    def _can_write(self, character: str) -> bool:
        try:
            self._remembered(character, False)
        except Unwritable:
            return False
        return True

    def _fragment(self, text: str) -> Sequence[int] | None:
        """llama.cpp's tokens for the text alone, without the space SentencePiece puts before it."""
        if not self._adds_space:
            return self._raw(text)
        for guard in _GUARDS:
            ids = self._raw(guard + text)
            taken, at = b"", 0
            while at < len(ids) and len(taken) <= len(guard.encode()) and taken.lstrip(b" ") != guard.encode():
                taken += self.piece(ids[at])
                at += 1
            if taken.lstrip(b" ") == guard.encode():
                return ids[at:]
        return None

    @cached_property
    def _adds_space(self) -> bool:
        ids = self._raw("a")
        return self.detokenise(ids) != b"a"

    def _piece(self, id: int) -> bytes:
        if not 0 <= id < self.n_tokens:
            raise IndexError(f"token id {id} is outside the vocabulary of {self.n_tokens}")
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            length: int = llama_cpp.llama_token_to_piece(self._pointer, id, buffer, size, 0, True)
            if length >= 0:
                return buffer.raw[:length]
            size = -length

    def _raw(self, text: str) -> list[int]:
        data = text.encode()
        size = len(data) + 8
        while True:
            tokens = (llama_cpp.llama_token * size)()
            count: int = llama_cpp.llama_tokenize(self._pointer, data, len(data), tokens, size, False, False)
            if count >= 0:
                return list(tokens[:count])
            size = -count


def _id(token: int) -> int | None:
    return token if token >= 0 else None
