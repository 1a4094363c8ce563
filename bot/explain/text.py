"""An explanation as text: for a pipe, for `/explain` in a chat, and as parts of the full screen."""

import textwrap
from collections.abc import Sequence

from .ending import stop_string
from .explanation import Explanation
from .lines import Line, lay_out, plain, reply_lines, width
from .scale import LAYER_LEVELS, MARKS, Layer
from .tokens import PromptPart, groups
from .view import Candidate, StepView
from .visible import ELLIPSIS, neutral, visible

_BAR = "█"
_EIGHTHS = " ▏▎▍▌▋▊▉"
_ENDINGS = {
    "end": "ended its turn",
    "stop": "ended its turn",
    "length": "cut at its length limit",
    "stopped": "stopped by a person",
    "error": "ended by a fault",
}
_STATUS = {"pending": "still running", "interrupted": "interrupted"}
_UNITS: dict[Layer, str] = {"probability": " %", "surprisal": " bits", "entropy": " bits", "rank": ""}


def percent(p: float) -> str:
    """A probability with three digits that mean something, never rounded to 0 or 100."""
    share = 100 * p
    if p <= 0 or p >= 1:
        return "0 %" if p <= 0 else "100 %"
    if share < 0.001:
        return "<0.001 %"
    if 99.9 < share < 100:
        return ">99.9 %"
    digits = 3 if share < 0.1 else 2 if share < 1 else 1
    return f"{share:.{digits}f} %"


def counted(tokens: int) -> str:
    return f"{tokens} token{'' if tokens == 1 else 's'}"


def quoted(piece: bytes, columns: int = 24) -> str:
    """A token in quotes, whitespace visible, cut to ``columns``."""
    text = visible(piece)
    if width(text) > columns:
        while text and width(text) > columns - 1:
            text = text[:-1]
        text += ELLIPSIS
    return f"“{text}”"


def pad(text: str, columns: int) -> str:
    return text + " " * max(0, columns - width(text))


def bar(share: float, columns: int) -> str:
    """A bar of eighths of a column; anything above zero shows."""
    eighths = max(round(min(max(share, 0.0), 1.0) * columns * 8), 1 if share > 0 else 0)
    return (_BAR * (eighths // 8) + _EIGHTHS[eighths % 8]).rstrip()


def outcome(explanation: Explanation) -> str:
    """How the reply ended, in words."""
    turn = explanation.turn
    if turn.status in _STATUS:
        return _STATUS[turn.status]
    stop = stop_string(turn)
    ending = f"ended at the stop string {quoted(stop.encode())}" if stop else ""
    ending = ending or _ENDINGS.get(turn.finish or "", turn.status)
    return f"{ending}: {neutral(turn.error)}" if turn.error else ending


def headline(explanation: Explanation) -> list[str]:
    turn = explanation.turn
    sampling = turn.sampling
    settings = [f"temperature {sampling.temperature:g}"]
    settings += [f"top_k {sampling.top_k}"] if sampling.top_k else []
    settings += [f"top_p {sampling.top_p:g}"] if sampling.top_p < 1 else []
    settings += [f"min_p {sampling.min_p:g}"] if sampling.min_p else []
    penalties = (
        ("repetition", sampling.repetition_penalty, 1.0),
        ("presence", sampling.presence_penalty, 0.0),
        ("frequency", sampling.frequency_penalty, 0.0),
    )
    settings += [f"{name} penalty {value:g}" for name, value, neutral_value in penalties if value != neutral_value]
    settings += [f"bias on {len(sampling.logit_bias)} tokens"] if sampling.logit_bias else []
    out = [
        f"Turn {turn.id} · {neutral(turn.model.name)} · {outcome(explanation)}",
        " · ".join([*settings, f"seed {turn.seed}"]),
    ]
    if turn.first_step:
        parent = f" of turn {turn.parent_turn}" if turn.parent_turn else ""
        start = len(turn.prompt_pieces) - turn.first_step
        tail = visible(b"".join(turn.prompt_pieces[max(start, len(turn.prompt_pieces) - 8) :]))
        out.append(
            f"A what-if: goes on after {turn.first_step} tokens{parent}, the last of them “{ELLIPSIS}{tail}”"
        )
    if turn.trace.fault:
        out.append(f"The record is damaged: {neutral(turn.trace.fault)}")
    elif not turn.verifiable:
        out.append("Part of what went in was erased: this turn can be read, not replayed.")
    return out


def legend(layer: Layer) -> str:
    """What the marks mean on this layer."""
    borders = LAYER_LEVELS[layer]
    scale = 100 if layer == "probability" else 1
    sign = "≥" if layer == "probability" else "≤"
    parts = [
        f"{mark or 'none'} {sign} {border * scale:g}{_UNITS[layer]}"
        for mark, border in zip(MARKS, borders, strict=False)
    ]
    return f"{layer.capitalize()}: " + "   ".join(
        [*parts, f"{MARKS[-1]} {'below' if layer == 'probability' else 'above'}"]
    )


def absence(explanation: Explanation) -> str:
    """Why there is no step to show."""
    turn = explanation.turn
    if turn.trace.fault:
        return "No step can be read: the record is damaged."
    if not turn.verifiable:
        return "The tokens of this reply were erased."
    return "No token was recorded yet." if turn.status == "pending" else "No token was recorded."


def words_alone(explanation: Explanation, columns: int) -> list[str]:
    """A reply without steps: why there are none, and its words, where those are kept."""
    said = neutral(explanation.turn.reply).splitlines()
    wrapped = [part for line in said for part in textwrap.wrap(line, columns) or [""]]
    return [absence(explanation), *([""] * bool(said)), *wrapped]


def whole(explanation: Explanation) -> list[str]:
    """The reply in a few numbers."""
    numbers = explanation.whole
    if not numbers.tokens:
        return [absence(explanation)]
    assert numbers.perplexity is not None  # there are tokens
    assert numbers.mean_entropy_bits is not None and numbers.first_choice_share is not None
    speed = f" · {numbers.ms_per_token:.1f} ms a token" if numbers.ms_per_token is not None else ""
    return [
        f"{counted(numbers.tokens)} · perplexity {numbers.perplexity:.2f} · mean entropy "
        f"{numbers.mean_entropy_bits:.2f} bits{speed}",
        f"the model's first choice in {percent(numbers.first_choice_share)} of the steps; "
        f"sampling overruled it in {len(numbers.overruled)}",
    ]


def least_certain(explanation: Explanation) -> list[str]:
    """The least certain steps, each with what else it might have been."""
    out: list[str] = []
    for index in explanation.whole.least_certain:
        step = explanation.step(index)
        others = [c for c in step.candidates if not c.chosen][:2]
        instead = ", ".join(f"{quoted(c.bytes, 14)} {percent(c.p)}" for c in others)
        name = pad(quoted(step.bytes, 18), 20)
        out.append(f"  step {index:<4} {name} {percent(step.p):>9}   rather than {instead}")
    return out


def overruled_lines(explanation: Explanation, columns: int) -> list[str]:
    """The steps where sampling picked another token than the one that temperature 0 would have picked."""
    steps = explanation.whole.overruled
    if not steps:
        return []
    said = f"Sampling overruled the favourite at step{'s' if len(steps) > 1 else ''} {', '.join(map(str, steps))}."
    return textwrap.wrap(said, columns)


def overview(explanation: Explanation, layer: Layer = "probability", columns: int = 80) -> list[Line]:
    """The reply with its marks, its numbers, and where it was least certain."""
    lines: list[Line] = [*([("", text)] for text in headline(explanation)), []]
    if not explanation.tokens:
        return [*lines, *([("", text)] for text in words_alone(explanation, columns))]
    lines += [[("", legend(layer))], [], *reply_lines(explanation, layer, columns)]
    lines += [[], *([("", text)] for text in whole(explanation))]
    lines += [[], [("bold", "Least certain")], *([("", text)] for text in least_certain(explanation))]
    overruled = overruled_lines(explanation, columns)
    return [*lines, [], *([("", text)] for text in overruled)] if overruled else lines


def table(explanation: Explanation) -> list[str]:
    """One row for each step."""
    out = ["step  token                 probability  rank  surprisal   entropy  sampled from"]
    overruled = set(explanation.whole.overruled)
    out += [
        f"{token.index:>4}  {pad(quoted(token.bytes, 18), 20)}  {percent(token.p):>11}  {token.rank:>4}"
        f"  {token.surprisal_bits:>9.2f}  {token.entropy_bits:>8.2f}  {percent(token.p_final):>12}"
        f"{' *' if token.index in overruled else ''}"
        for token in explanation.tokens
    ]
    if overruled:
        out.append("* temperature 0 would have picked another token here")
    return out


def step_lines(explanation: Explanation, index: int, columns: int = 80) -> list[Line]:
    """One step, whole: numbers, candidates before and after sampling, stages, the draw. Raises IndexError."""
    step = explanation.step(index)
    lines: list[Line] = [
        [("bold", f"Step {index} (of 0 to {len(explanation.tokens) - 1})  {quoted(step.bytes, columns - 28)}")],
        [("", f"id {step.id} · bytes {step.bytes[:12].hex(' ') or 'none'}{_group_note(explanation, index)}")],
        *([("", part)] for part in _numbers(step, columns)),
        [],
        *candidate_lines(step, columns),
        [],
        *stage_lines(explanation, step, columns),
        *([("", part)] for part in (textwrap.wrap(BLURRED, columns) if step.is_blurred else ())),
        *draw_lines(step, columns),
    ]
    note = greedy_note(step)
    return [*lines, *([("bold", part)] for part in textwrap.wrap(note or "", columns))]


def _numbers(step: StepView, columns: int) -> list[str]:
    chosen = f"probability {percent(step.p)} · rank {step.rank}"
    bits = f"surprisal {step.surprisal_bits:.2f} bits · entropy {step.entropy_bits:.2f} bits"
    return [f"{chosen} · {bits}"] if columns >= 76 else [chosen, bits]


def _group_note(explanation: Explanation, index: int) -> str:
    group, token = explanation.group_of(index), explanation.tokens[index]
    note = " · end of turn" if token.is_end else " · of the stop string, not shown" if token.is_unshown else ""
    if group.first == group.last:
        return note
    count = group.last - group.first + 1
    return f"{note} · part {index - group.first + 1} of {count} of {quoted(group.bytes, 12)}"


BLURRED = (
    "part of what the penalties looked back on was erased: what sampling made of the other tokens cannot be told"
)


def candidate_lines(step: StepView, columns: int) -> list[Line]:
    """The candidates, predicted and sampled from side by side; the removed ones say which stage took them."""
    name = min(22, max(9, columns - 42))  # “by top_k” stands behind the numbers
    room = max(4, columns - 40 - name) if columns >= 52 else 0
    lines: list[Line] = [[("bold", f"     {pad('candidate', name)}  {'predicted':>9}  {'sampled from':>12}")]]
    for place, candidate in enumerate(step.candidates, start=1):
        lines.append(_candidate_line(step, candidate, place, name, room))
    final = "erased" if step.is_blurred else percent(step.final_remainder)
    rest = f"     {pad('all others', name)}  {percent(step.remainder):>9}  {final:>12}"
    return [*lines, [("", rest)]]


def _candidate_line(step: StepView, candidate: Candidate, place: int, name_width: int, room: int) -> Line:
    number = place if candidate.listed else step.rank
    pointer = "▶" if candidate.chosen else " "
    after = "removed" if candidate.removed_by else "erased" if step.hides(candidate) else percent(candidate.p_final)
    name_width -= max(0, len(str(number)) - 2)  # a rank beyond the list pushes nothing aside
    name = pad(quoted(candidate.bytes, name_width - 2), name_width)
    text = f"{pointer}{number:>2}  {name}  {percent(candidate.p):>9}  {after:>12}  "
    style = "bold" if candidate.chosen else "fg:ansibrightblack" if candidate.removed_by else ""
    share = 0.0 if step.hides(candidate) else candidate.p_final
    note = f"by {candidate.removed_by}" if candidate.removed_by else bar(share, room) if room else ""
    return [(style, (text + note).rstrip())]


def stage_lines(explanation: Explanation, step: StepView, columns: int) -> list[Line]:
    """What each stage left, in the order they ran; of what it removed, as many names as there is room for."""
    if not step.stages:
        said = "sampling changed nothing: the token was drawn from the prediction itself"
        return [[("", part)] for part in textwrap.wrap(said, columns)]
    names = {candidate.id: candidate.bytes for candidate in step.candidates}
    lines: list[Line] = [[("bold", f"sampling, from {explanation.turn.model.n_vocab:,} tokens")]]
    for stage in step.stages:
        what = f"removed {stage.removed:,}" if stage.removed else "removed none"
        text = f"  {stage.name:<12} {stage.survivors:>7,} left · {what}"
        gone = [quoted(names[token], 8) for token in stage.removed_listed]
        lines.append([("", text + _listed(gone, columns - width(text)))])
    return lines


def _listed(names: Sequence[str], room: int) -> str:
    """The first of the names, three at most, that fit; "" if none does."""
    for count in range(min(3, len(names)), 0, -1):
        more = f" {ELLIPSIS}" if len(names) > count else ""
        text = f": {', '.join(names[:count])}{more}"
        if width(text) <= room:
            return text
    return ""


def stages_said(explanation: Explanation, step: StepView) -> str:
    """The same in a sentence."""
    if not step.stages:
        return "sampling changed nothing"
    left = [f"{stage.name} left {stage.survivors:,}" for stage in step.stages]
    said = f"of {explanation.turn.model.n_vocab:,} tokens {', '.join(left)}"
    return f"{said}; {BLURRED}" if step.is_blurred else said


def draw_lines(step: StepView, columns: int) -> list[Line]:
    """The draw on the cumulative bar: the chosen token's part is solid, the pointer is u."""
    room = min(columns, 80) - 4
    cells = ["·"] * room
    for number, segment in enumerate(step.segments):
        low, high = round(segment.low * room), round(segment.high * room)
        fill = _BAR if segment.id == step.id else "░▒"[number % 2]
        cells[low:high] = [fill] * (high - low)
    at = min(room - 1, int(step.u * room))
    start, end = step.interval
    said = f"the draw u(seed, {step.draw_index}) = {step.u:.6f} fell in [{start:.6f}, {end:.6f})"
    return [
        *([("", part)] for part in textwrap.wrap(said, columns)),
        [("", "  " + "".join(cells))],
        [("", "  " + " " * at + "▲")],
    ]


def greedy_note(step: StepView) -> str | None:
    """What temperature 0 would have picked, where that differs."""
    if not step.overruled:
        return None
    other = next((candidate for candidate in step.candidates if candidate.id == step.greedy), None)
    name = quoted(other.bytes) if other else f"token {step.greedy}"
    return f"temperature 0 would have picked {name}"


def prompt_lines(explanation: Explanation, columns: int = 80) -> list[str]:
    """What the model saw: every part of the prompt with its origin."""
    turn = explanation.turn
    out = [f"What the model saw: {len(turn.prompt.ids)} tokens, nothing else", "(│ stands between two tokens)"]
    out += textwrap.wrap(dropped(explanation), columns)
    for part in explanation.prompt:
        out += ["", f"[{origin(part)} · {len(part.ids)} tokens from position {part.start}]"]
        if part.is_erased:
            out.append("(erased)")
            continue
        out += _token_by_token(part, columns)
    return out


def dropped(explanation: Explanation) -> str:
    """What of the conversation the model did not see; "" if it saw all of it."""
    prompt = explanation.turn.prompt
    if not prompt.dropped_turns:
        return ""
    turns = f"{prompt.dropped_turns} turn{'s' if prompt.dropped_turns > 1 else ''}"
    return (
        f"dropped, oldest first: {turns}, {prompt.dropped_tokens} tokens "
        "(the conversation is longer than the model's context)"
    )


def _token_by_token(part: PromptPart, columns: int) -> list[str]:
    """The part's text with │ between its tokens: every space where it belongs, characters whole."""
    pieces = [group.bytes for group in groups(part.pieces)]
    shown = [visible(piece) if part.kind == "marker" else neutral(piece) for piece in pieces]
    shown = [text.replace("⏎", "⏎\n") for text in shown]
    rows = lay_out(["│" * bool(number) + text for number, text in enumerate(shown)], columns)
    return ["".join(cell.text for cell in row) for row in rows]


def origin(part: PromptPart) -> str:
    who = f" by {part.role}" if part.role else ""
    message = f", message {part.message}" if part.message is not None else ""
    return {
        "marker": "the chat template wrote",
        "typed": f"typed{who}{message}",
        "generated": f"generated earlier{message}",
        "rewritten": f"rewritten by the template{message}",
    }[part.kind]


def full(explanation: Explanation, columns: int = 80) -> str:
    """Everything, for a pipe."""
    parts = [plain(overview(explanation, columns=columns))]
    if explanation.tokens:
        parts.append("\n".join(table(explanation)))
    parts.append("\n".join(prompt_lines(explanation, columns)))
    return "\n\n".join(parts) + "\n"
