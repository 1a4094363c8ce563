"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const steps = data.steps, view = data.view;
  const $ = (id) => document.getElementById(id);
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
  const name = (id) => (id in view.names ? view.names[id] : "token " + id);
  const quoted = (text) => "“" + text + "”";

  // The reply
  const tiles = view.groups.map(([first, , text]) => make("span", { textContent: text, first }));
  const tileOf = new Array(steps.length);
  view.groups.forEach(([first, last], number) => { for (let i = first; i <= last; i++) tileOf[i] = number; });
  $("reply").append(view.reply, ...tiles);
  $("reply").addEventListener("click", (event) => {
    const tile = event.target.closest("span");
    if (tile) open(tile.first);
  });
  let hovering = 0;
  $("reply").addEventListener("mouseover", (event) => {
    const tile = event.target.closest("span");
    if (!tile || !matchMedia("(hover: hover)").matches) return;
    cancelAnimationFrame(hovering);
    hovering = requestAnimationFrame(() => open(tile.first));
  });

  function tint() {
    const { tints, levels } = view.layers[layer];
    tiles.forEach((tile, number) => {
      tile.className = "t" + tints[number] + " m" + levels[number] + (tileOf[current] === number ? " on" : "");
    });
    $("legend").replaceChildren(...view.layers[layer].legend.map((text, level) => make("span", {},
      make("i", { className: "t" + view.swatches[level] + " m" + level }), text)));
    for (const button of $("layers").children) button.ariaPressed = String(button.dataset.layer === layer);
  }
  function write() {
    tiles.forEach((tile, number) => { tile.textContent = view.groups[number][reveal ? 3 : 2]; });
    $("reveal").ariaPressed = String(reveal);
  }

  // One step
  function open(index, focus) {
    if (!(index >= 0 && index < steps.length)) return;
    if (current >= 0) tiles[tileOf[current]].classList.remove("on");
    current = index;
    const tile = tiles[tileOf[index]];
    tile.classList.add("on");
    if (focus) tile.scrollIntoView({ block: "nearest" });
    $("step").replaceChildren(...panel(index));
    if (location.hash !== "#" + index) history.replaceState(null, "", "#" + index);
  }
  function panel(index) {
    const step = steps[index];
    const number = (label, value) => make("div", {}, make("span", { textContent: label }), make("div", { textContent: value }));
    const [first, last] = view.groups[tileOf[index]];
    const part = last > first ? `part ${index - first + 1} of ${last - first + 1} of ${quoted(view.groups[tileOf[index]][3])}` : "";
    const end = index === data.end_of_turn ? "end of turn" : view.unshown !== null && index >= view.unshown ? "of the stop string, not shown" : "";
    const go = (to, sign, label) => {
      const button = make("button", { type: "button", textContent: sign, ariaLabel: label, disabled: !steps[to] });
      button.addEventListener("click", () => open(to, true));
      return button;
    };
    const out = [
      make("div", { className: "place" },
        make("span", { textContent: `step ${index} of ${steps.length - 1}` + [end, part].map((note) => note && " · " + note).join("") }),
        make("span", {}, go(index - 1, "◀", "Previous step"), " ", go(index + 1, "▶", "Next step"))),
      make("div", { className: "title", textContent: quoted(step.shown) }),
      make("div", { className: "numbers" },
        number("probability", percent(p(step.logprob))), number("rank", String(step.rank)),
        number("surprisal", bits(-step.logprob).toFixed(2) + " bits"), number("entropy", bits(step.entropy).toFixed(2) + " bits")),
      candidates(step), ...draw(step, index),
    ];
    if (step.greedy !== null && step.greedy !== step.id)
      out.push(make("p", { className: "note strong", textContent: `Temperature 0 would have picked ${quoted(name(step.greedy))}.` }));
    out.push(stages(step));
    out.push(make("ol", {}, row("token id", String(step.id)), row("bytes", step.bytes.replace(/../g, "$& ").trim() || "none"), row("row hash", step.row_hash)));
    return out;
  }
  const row = (label, value) => make("li", {}, make("span", { textContent: label }), make("b", { textContent: value }));
  function candidates(step) {
    const body = make("tbody");
    const listed = step.top.map(([id, logprob, final, removed]) => ({ id, raw: p(logprob), final, removed }));
    if (!listed.some((c) => c.id === step.id)) listed.push({ id: step.id, raw: p(step.logprob), final: step.p_final, removed: null });
    for (const c of listed) {
      const meter = make("div", { className: "meter" }), raw = make("i"), final = make("b");
      raw.style.width = 100 * c.raw + "%";
      final.style.width = 100 * c.final + "%";
      meter.append(raw, final);
      body.append(make("tr", { className: c.id === step.id ? "chosen" : c.removed ? "gone" : "" },
        make("td", { textContent: c.id === step.id ? step.shown : name(c.id), title: "token " + c.id }), make("td", {}, meter),
        make("td", { textContent: percent(c.raw) }), make("td", { textContent: c.removed || percent(c.final) })));
    }
    body.append(make("tr", { className: "rest" }, make("td", { textContent: "all others" }), make("td"),
      make("td", { textContent: percent(step.remainder) }), make("td", { textContent: percent(step.final_remainder) })));
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
      return row(stage, `${thousands(survivors)} left` + (gone > 0 ? `, ${thousands(gone)} removed` : ""));
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
  for (const index of data.whole.least_certain) {
    const button = make("button", { type: "button" }, make("b", { textContent: quoted(steps[index].shown) }),
      make("span", { textContent: percent(p(steps[index].logprob)) }));
    button.addEventListener("click", () => open(index, true));
    $("least").append(button);
  }
  $("save").addEventListener("click", () => {
    const { view: _, ...record } = data;
    const link = make("a", { href: URL.createObjectURL(new Blob([JSON.stringify(record)], { type: "application/json" })), download: `turn-${data.turn}.json` });
    link.click();
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const least = data.whole.least_certain;
    const actions = {
      ArrowRight: () => open(current + 1, true), ArrowLeft: () => open(current - 1, true),
      g: () => open(0, true), Home: () => open(0, true), G: () => open(steps.length - 1, true), End: () => open(steps.length - 1, true),
      n: () => least.length && open(least[order++ % least.length], true),
      l: () => { layer = LAYERS[(LAYERS.indexOf(layer) + 1) % LAYERS.length]; tint(); },
      s: () => { reveal = !reveal; write(); },
    };
    if (actions[event.key]) { event.preventDefault(); actions[event.key](); }
  });
  const asked = /^#\d+$/.test(location.hash) ? +location.hash.slice(1) : view.step;
  open(asked < steps.length ? asked : 0);
  tint();
  if (!view.tree.length) $("branches").remove();
  if (!view.loss) $("loss").remove();
  /** What is folded away: built when the rest can be used. */
  function fold() {
    for (const branch of view.tree) {
      const here = branch.turn === data.turn;
      const head = [make("b", { textContent: branch.title + (here ? " (this one)" : "") }),
        ...[branch.said, branch.met].filter(Boolean).map((text) => make("span", { textContent: text })), make("q", { textContent: branch.next, dir: "auto" })];
      const side = (number, at) => make("p", { dir: "auto" }, make("small", { textContent: "turn " + number }), " ",
        ...branch.parts.map((part) => make(part[0] ? "span" : "mark", { textContent: part[at] })));
      const item = here ? make("div", { className: "here" }, ...head)
        : make("details", {}, make("summary", {}, ...head), make("span", { textContent: branch.facts }), side(data.turn, 1), side(branch.turn, 2));
      item.style.marginLeft = 24 * branch.depth + "px";
      $("tree").append(item);
    }
    for (const [title, kind, pieces] of view.prompt) {
      $("prompt").append(make("h3", { textContent: title }), make("p", { className: kind, dir: "auto" },
        ...pieces.map(([id, text, note, shade]) => make("span", {
          textContent: text, className: shade === null ? "" : "t" + shade, title: "token " + id + (note ? ", " + note : "") }))));
    }
    if (view.loss) $("loss").append(make("pre", { textContent: view.loss }));
    for (const [label, value] of view.identity) $("identity").append(make("dt", { textContent: label }), make("dd", { textContent: value }));
    document.documentElement.dataset.whole = "true";
  }
  (window.requestIdleCallback || setTimeout)(fold, { timeout: 500 });
  document.documentElement.dataset.ready = "true";
})();
