"""A logged conversation as it reads now: what was edited, deleted or chosen since has taken effect."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..predict.message import Role
from ..store import StoreError
from ..store.continuing import shown_instead
from ..store.records import MessageRow
from .service import Service


@dataclass(frozen=True, slots=True)
class Said:
    """One message of a chain as it reads; ``row``: where the log has it so."""

    role: Role
    text: str
    row: int | None = None


def unchanged(logged: Sequence[Said], wanted: Sequence[Said]) -> int:
    """How many messages from the root on can stay as they are logged."""
    count = 0
    for old, new in zip(logged, wanted, strict=False):
        if (old.role, old.text) != (new.role, new.text):
            break
        count += 1
    return count


def system_prompt(service: Service, channel: object) -> str:
    """What the model is told first in a channel; "": nothing."""
    own = service.set_here(channel).system
    return service.settings.chat.system_prompt if own is None else own


class Rereading:
    """Reads the log; where a conversation reads differently, it is logged anew from there on."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._store = service.chat.store

    async def as_it_now_reads(self, session: int, leaf: int, system: str) -> int | None:
        """``leaf``, or its copy in a chain in which edits, deletions and a new system prompt have taken effect,
        each reply is the version that Discord shows, and nothing is of people who have opted out."""
        logged: list[Said] = []
        wanted: list[Said] = []
        opted_out = False
        for each in await self._store.conversation(leaf):
            assert each.id is not None
            row = await self._store.message(each.id)
            logged.append(Said(row.role, row.text, row.id))
            if row.role == "user":  # what was answered to it goes with it
                opted_out = row.person is not None and self._service.preferences.opted_out(row.person)
            if row.role != "system" and not opted_out:
                wanted.append(await self._newest(row))
        if system:
            wanted.insert(0, Said("system", system))
        kept = unchanged(logged, wanted)
        if kept == len(wanted) == len(logged):
            return leaf
        parent = logged[kept - 1].row if kept else None
        for said in wanted[kept:]:
            if said.row is None:
                parent = await self._store.append_message(session, said.role, said.text, parent=parent)
            else:
                parent = await self._store.copy_message(said.row, parent=parent, session=session)
        return parent

    async def _newest(self, row: MessageRow) -> Said:
        """A message in its newest version, a reply in the one that is shown; as it stands, where the log is damaged
        and cannot tell."""
        try:
            return await self._version(row)
        except StoreError as error:
            if error.reason != "damaged":
                raise
            return Said(row.role, row.text, row.id)

    async def _version(self, row: MessageRow) -> Said:
        if row.role == "user" and row.discord_message_id is not None:
            newest = await self._store.message_of_discord(row.discord_message_id)
            if newest is not None and newest != row.id:
                row = await self._store.message(newest)
        elif row.role == "assistant" and (turn := row.turn) is not None:
            shown = await self._store.database.read(lambda c: shown_instead(c, turn))
            if shown is not None and not (other := await self._store.message(shown)).erased:
                row = other
        return Said(row.role, row.text, row.id)
