(() => {
  const $ = (id) => document.getElementById(id);
  for (const part of document.querySelectorAll("[hidden]")) part.hidden = false;  // what only a script fills
  const data = JSON.parse($("data").textContent), view = data.view;
  const lines = $("steps").textContent.split("\n"), count = data.whole.tokens;
  const opened = new Map();
  /** Step `index` of the record, read when it is first asked for. */
  function stepAt(index) {
    if (!opened.has(index)) opened.set(index, JSON.parse(lines[index]));
    return opened.get(index);
  }
  const greedy = (step) => ("greedy" in step ? step.greedy : step.id);
  const stageName = (place) => data.sampling.stages[place];
  const LAYERS = Object.keys(view.layers);
  let layer = LAYERS[0], current = -1, reveal = false, order = 0;

  /** An element with properties and children; text is always text, never markup. */
  function make(tag, properties, ...children) {
    const element = Object.assign(document.createElement(tag), properties || {});
    element.append(...children);
    return element;
  }
  function percent(p) {
    if (p <= 0) return "0 %";
    if (p >= 1) return "100 %";
    const share = 100 * p;
    if (share < 0.001) return "<0.001 %";
    if (share > 99.9) return ">99.9 %";
    return share.toFixed(share < 0.1 ? 3 : share < 1 ? 2 : 1) + " %";
  }
  const bits = (nats) => nats / Math.LN2;
  const p = (logprob) => (logprob === null ? 0 : Math.exp(logprob));
  const thousands = (count) => String(count).replace(/\B(?=(\d{3})+$)/g, ",");
  let lacking = false;
  const readable = (text) => (lacking ? legible(text) : text);
  const name = (id) => (id in view.names ? readable(view.names[id]) : "token " + id);
  /** In quotes; what is read from the right is kept apart, so that it does not draw in the number after it. */
  const quoted = (text) => "“" + (/[\u0590-\u08ff\ufb1d-\ufefc]/.test(text) ? `\u2068${text}\u2069` : text) + "”";

  // The reply
  const tiles = $("reply").children, plainTexts = [];
  const tileOf = new Array(count);
  view.groups.forEach(([first, last], number) => { for (let i = first; i <= last; i++) tileOf[i] = number; });
  const firstOf = (tile) => view.groups[[].indexOf.call(tiles, tile)][0];
  $("reply").addEventListener("click", (event) => {
    const tile = event.target.closest("span");
    if (tile) go(firstOf(tile));
  });
  let hovering = 0;
  $("reply").addEventListener("mouseover", (event) => {
    const tile = event.target.closest("span");
    if (!tile || !matchMedia("(hover: hover)").matches) return;
    cancelAnimationFrame(hovering);
    hovering = requestAnimationFrame(() => open(firstOf(tile)));
  });

  function tint() {
    const { tints, levels } = view.layers[layer];
    [...tiles].forEach((tile, number) => {
      tile.className = "t" + tints[number] + " m" + levels[number] + (tileOf[current] === number ? " on" : "");
    });
    tell();
  }
  /** The legend, and which layer it is. */
  function tell() {
    $("legend").replaceChildren(...view.layers[layer].legend.map((text, level) => make("span", {},
      make("i", { className: "t" + view.swatches[level] + " m" + level }), text)));
    for (const button of $("layers").children) button.ariaPressed = String(button.dataset.layer === layer);
  }
  function write() {
    if (!plainTexts.length) plainTexts.push(...[...tiles].map((tile) => tile.textContent));
    [...tiles].forEach((tile, number) => { tile.textContent = readable(reveal ? view.groups[number][2] : plainTexts[number]); });
    $("reveal").ariaPressed = String(reveal);
  }

  // One step
  function open(index) {
    if (!(index >= 0 && index < count)) return;
    if (current >= 0) tiles[tileOf[current]].classList.remove("on");
    current = index;
    tiles[tileOf[index]].classList.add("on");
    $("step").replaceChildren(...panel(index));
  }
  /** Open a step to stay: in sight, and in the address. */
  function go(index) {
    if (!(index >= 0 && index < count)) return;
    open(index);
    tiles[tileOf[index]].scrollIntoView({ block: "nearest" });
    history.replaceState(null, "", "#" + index);
  }
  function panel(index) {
    const step = stepAt(index);
    const number = (label, value) => make("div", {}, make("span", { textContent: label }), make("div", { textContent: value }));
    const [first, last] = view.groups[tileOf[index]];
    const part = last > first ? `part ${index - first + 1} of ${last - first + 1} of ${quoted(readable(view.groups[tileOf[index]][2]))}` : "";
    const worst = index === data.whole.least_certain[0] ? "the least certain" : "";
    const end = index === data.end_of_turn ? "end of turn" : view.unshown !== null && index >= view.unshown ? "of the stop string, not shown" : "";
    const turn = (to, sign, label) => {
      const button = make("button", { type: "button", textContent: sign, ariaLabel: label, disabled: to < 0 || to >= count });
      button.addEventListener("click", () => go(to));
      return button;
    };
    const out = [
      make("div", { className: "place" },
        make("span", { textContent: `step ${index} of ${count - 1}` + [worst, end, part].map((note) => note && " · " + note).join("") }),
        make("span", {}, turn(index - 1, "◀", "Previous step"), " ", turn(index + 1, "▶", "Next step"))),
      make("div", { className: "title", textContent: quoted(name(step.id)) }),
      make("div", { className: "numbers" },
        number("probability", percent(p(step.logprob))), number("rank", String(step.rank)),
        number("surprisal", bits(-step.logprob).toFixed(2) + " bits"), number("entropy", bits(step.entropy).toFixed(2) + " bits")),
      candidates(step), ...draw(step, index),
    ];
    if (greedy(step) !== null && greedy(step) !== step.id)
      out.push(make("p", { className: "note strong", textContent: `Temperature 0 would have picked ${quoted(name(greedy(step)))}.` }));
    out.push(stages(step));
    out.push(make("ol", {}, row("token id", String(step.id)), row("bytes", step.bytes.replace(/../g, "$& ").trim() || "none"), row("row hash", step.row_hash)));
    return out;
  }
  const row = (label, value) => make("li", {}, make("span", { textContent: label }), make("b", { textContent: value }));
  /** Null: sampling looked back on what was erased since. */
  const told = (share) => share === null ? "erased" : percent(share);
  function candidates(step) {
    const body = make("tbody");
    const listed = step.top.map(([id, logprob, final, removed]) => ({ id, raw: p(logprob), final, removed: stageName(removed) }));
    if (!listed.some((c) => c.id === step.id)) listed.push({ id: step.id, raw: p(step.logprob), final: step.p_final });
    for (const c of listed) {
      const meter = make("div", { className: "meter" }), raw = make("i"), final = make("b");
      raw.style.width = 100 * c.raw + "%";
      final.style.width = 100 * c.final + "%";
      meter.append(raw, final);
      body.append(make("tr", { className: c.id === step.id ? "chosen" : c.removed ? "gone" : "" },
        make("td", { textContent: name(c.id), title: "token " + c.id }), make("td", {}, meter),
        make("td", { textContent: percent(c.raw) }), make("td", { textContent: c.removed || told(c.final) })));
    }
    body.append(make("tr", { className: "rest" }, make("td", { textContent: "all others" }), make("td"),
      make("td", { textContent: percent(step.remainder) }), make("td", { textContent: told(step.final_remainder) })));
    return make("table", {}, make("thead", {}, make("tr", {}, ...["", "", "predicted", "drawn from"].map((text) => make("th", { textContent: text })))), body);
  }
  function draw(step, index) {
    const bar = make("div", { className: "draw" });
    for (let i = 0, start = 0; i < step.bar.length; start = step.bar[i + 1], i += 2) {
      const id = step.bar[i];
      if (id < 0) continue;
      const piece = make("i", { className: id === step.id ? "own" : "", title: name(id) });
      piece.style.left = 100 * start + "%";
      piece.style.width = 100 * (step.bar[i + 1] - start) + "%";
      bar.append(piece);
    }
    const needle = make("i");
    needle.style.left = 100 * step.u + "%";
    const [low, high] = step.interval;
    return [bar, make("div", { className: "needle" }, needle), make("p", { className: "note",
      textContent: `The draw u(seed, ${data.first_step + index}) = ${step.u.toFixed(6)} fell in ${low.toFixed(6)} to ${high.toFixed(6)}.` })];
  }
  function stages(step) {
    let before = data.model.n_vocab;
    return make("ol", {}, ...step.stages.map(([stage, survivors]) => {
      const gone = before - survivors;
      before = survivors;
      return row(stageName(stage), `${thousands(survivors)} left` + (gone > 0 ? `, ${thousands(gone)} removed` : ""));
    }));
  }

  // Everything else
  for (const each of LAYERS) {
    const button = make("button", { type: "button", textContent: each });
    button.dataset.layer = each;
    button.addEventListener("click", () => { layer = each; tint(); });
    $("layers").append(button);
  }
  $("reveal").addEventListener("click", () => { reveal = !reveal; write(); });
  $("whole").textContent = view.whole;
  function jump(index, note) {
    const button = make("button", { type: "button" }, make("b", { textContent: quoted(name(stepAt(index).id)) }), make("span", { textContent: note }));
    button.addEventListener("click", () => go(index));
    return button;
  }
  function least() {
    $("least").replaceChildren($("least").firstElementChild, ...data.whole.least_certain.map((index) => {
      const { id, logprob, top } = stepAt(index), other = top.find(([candidate]) => candidate !== id);
      return jump(index, percent(p(logprob)) + (other ? `, or ${quoted(name(other[0]))} ${percent(p(other[1]))}` : ""));
    }));
  }
  least();
  $("overruled").addEventListener("toggle", (event) => event.target.lastElementChild.replaceChildren(
    ...data.whole.overruled.map((index) => jump(index, `rather than ${quoted(name(greedy(stepAt(index))))}`))));
  /** The record as `glasshead explain --json` writes it, with fewer digits and without the bytes of what was not chosen. */
  function whole() {
    const { view: _, ...record } = data;
    const steps = lines.slice(0, count).map((_, index) => {
      const { bar: __, ...step } = stepAt(index);
      return { ...step, index, greedy: greedy(step),
        stages: step.stages.map(([stage, survivors, log_normaliser]) => ({ name: stageName(stage), survivors, log_normaliser })),
        top: step.top.map(([id, logprob, p_final, removed]) => ({ id, logprob, p_final, removed_by: stageName(removed) ?? null })) };
    });
    return { ...record, steps };
  }
  $("save").addEventListener("click", () => {
    const blob = new Blob([JSON.stringify(whole())], { type: "application/json" });
    make("a", { href: URL.createObjectURL(blob), download: `turn-${data.turn}.json` }).click();
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const worst = data.whole.least_certain;
    const actions = {
      ArrowRight: () => go(current + 1), ArrowLeft: () => go(current - 1),
      g: () => go(0), Home: () => go(0), G: () => go(count - 1), End: () => go(count - 1),
      n: () => worst.length && go(worst[order++ % worst.length]),
      l: () => { layer = LAYERS[(LAYERS.indexOf(layer) + 1) % LAYERS.length]; tint(); },
      s: () => { reveal = !reveal; write(); },
    };
    if (actions[event.key]) { event.preventDefault(); actions[event.key](); }
  });
  const asked = /^#\d+$/.test(location.hash) ? +location.hash.slice(1) : view.step ?? data.whole.least_certain[0];
  open(asked < count ? asked : 0);
  tell();
  if (!data.whole.overruled.length) $("overruled").remove();
  if (!view.tree.length) $("branches").remove();
  if (!count) for (const id of ["least", "view", "legend", "loss", "proof", "step", "keys"]) $(id).remove();
  /** When the rest can be used: what no font here has is shown as bytes. */
  function findLacking() {
    const texts = [...view.groups.map((group) => group[2]), ...Object.values(view.names), ...view.prompt.flatMap((part) => part[2].map((piece) => piece[0]))];
    const all = texts.join("");
    if (legible(all) === all) return;
    lacking = true;
    write();
    least();
    open(current);
  }
  /** What is folded away: built when the rest can be used. */
  function fold() {
    if (count) findLacking();
    for (const branch of view.tree) {
      const here = branch.turn === data.turn;
      const head = [make("b", { textContent: branch.title + (here ? " (this one)" : "") }),
        ...[branch.said, branch.met].filter(Boolean).map((text) => make("span", { textContent: text })), make("q", { textContent: branch.next, dir: "auto" })];
      const side = (number, at) => make("p", { dir: "auto" }, make("small", { textContent: "turn " + number }), " ",
        ...branch.parts.map((part) => make(part[0] ? "span" : "mark", { textContent: readable(part[at]) })));
      const item = here ? make("div", { className: "here" }, ...head)
        : make("details", {}, make("summary", {}, ...head), make("span", { textContent: branch.facts }), side(data.turn, 1), side(branch.turn, 2));
      item.style.marginLeft = 24 * branch.depth + "px";
      $("tree").append(item);
    }
    if (view.unread) $("tree").append(make("p", { className: "warning", textContent: view.unread }));
    if (view.dropped) $("prompt").append(make("p", { className: "warning", textContent: view.dropped }));
    for (const [title, kind, pieces] of view.prompt) {
      $("prompt").append(make("h3", { textContent: title }), make("p", { className: kind, dir: "auto" },
        ...pieces.map(([text, title, shade]) => make("span", { textContent: readable(text), className: shade === null ? "" : "t" + shade, title }))));
    }
    if (count) for (const id of ["loss", "proof"]) $(id).append(make("pre", { textContent: view[id] }));
    for (const [label, value] of view.identity) $("identity").append(make("dt", { textContent: label }), make("dd", { textContent: value }));
    document.documentElement.dataset.whole = "true";
  }
  (window.requestIdleCallback || setTimeout)(fold, { timeout: 500 });
  document.documentElement.dataset.ready = "true";
})();
