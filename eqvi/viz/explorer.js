// The explorer's three pictures: a grid to click into, a divider between two frames, a film. Plain JavaScript for
// anywidget; nothing is built and nothing is fetched. What they show is decided in eqvi/viz/explorer.py.

const make = (tag, attributes = {}, ...inside) => {
  const element = tag.startsWith("svg:")
    ? document.createElementNS("http://www.w3.org/2000/svg", tag.slice(4))
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...inside);
  return element;
};

const address = (data, type = "image/webp") => URL.createObjectURL(new Blob([data], { type }));

// Shows other bytes and other words in an <img>; the promise is kept once they can be painted.
const show = (image, data, alt) => {
  const old = image.src;
  image.src = address(data);
  image.alt = alt;
  return image
    .decode()
    .catch(() => {})
    .then(() => old && URL.revokeObjectURL(old));
};

// --- grid -----------------------------------------------------------------------------------------------------------

function tile(picture, model, hover) {
  const image = make("img", { draggable: "false" });
  const marks = make("svg:svg", { class: "eqvi-marks", "aria-hidden": "true" });
  const frame = make("div", { class: "eqvi-picture", tabindex: "0", role: "group" }, image, marks);
  const title = make("span", { class: "eqvi-title" });
  const note = make("span", { class: "eqvi-note" });
  const legend = make("div", { class: "eqvi-legend" });
  const figure = make("figure", { class: "eqvi-tile" }, make("div", { class: "eqvi-head" }, title, note), frame, legend);
  figure.dataset.name = picture.name;

  const send = (content) => model.send(content);
  const pixel = (event) => {
    const box = frame.getBoundingClientRect();
    const [width, height] = model.get("size");
    const place = (at, from, length, pixels) =>
      Math.min(pixels - 1, Math.max(0, Math.floor(((at - from) / length) * pixels)));
    return { x: place(event.clientX, box.left, box.width, width), y: place(event.clientY, box.top, box.height, height) };
  };
  frame.addEventListener("click", (event) => send({ kind: "click", name: figure.dataset.name, ...pixel(event) }));
  // A moving pointer asks again when the last answer is there, and at most 20 times a second.
  frame.addEventListener("pointermove", (event) => {
    if (event.pointerType === "touch") return;
    hover.name = figure.dataset.name;
    hover.place = pixel(event);
    hover.ask();
  });
  frame.addEventListener("pointerleave", () => {
    hover.name = hover.place = null;
    send({ kind: "leave" });
  });
  frame.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!way) return;
    event.preventDefault();
    const far = event.shiftKey ? 10 : 1;
    send({ kind: "move", x: far * way[0], y: far * way[1] });
  });

  const update = (next) => {
    title.textContent = next.name;
    note.textContent = next.note;
    figure.dataset.at = next.at;
    figure.arrows = next.arrows;
    frame.setAttribute("aria-label", `${next.name}: click, or use the arrow keys, to choose a pixel`);
    const key = JSON.stringify([next.low, next.high]);
    if (legend.dataset.key !== key) {
      legend.dataset.key = key;
      legend.replaceChildren();
      if (next.legend.byteLength) {
        const sign = make("img", { alt: "", src: address(next.legend, "image/png") });
        sign.className = next.low === "" ? "eqvi-wheel" : "eqvi-bar";
        legend.append(next.low, sign, next.high);
      }
    }
    return show(image, next.data, next.alt);
  };
  return { figure, marks, update };
}

function mark(marks, figure, model, hover) {
  const [width, height] = model.get("size");
  const found = model.get("marks");
  marks.setAttribute("viewBox", `0 0 ${width} ${height}`);
  marks.replaceChildren();
  const unit = width / 100;
  const draw = (name, attributes, stroke, rim = 0.9 * unit) => {
    for (const [colour, broad] of [["white", stroke + rim], ["black", stroke]])
      marks.append(make(`svg:${name}`, { ...attributes, fill: "none", stroke: colour, "stroke-width": broad }));
  };
  if (figure.arrows.length) {
    let path = "";
    for (let i = 0; i < figure.arrows.length; i += 4) {
      const [x, y, dx, dy] = figure.arrows.slice(i, i + 4);
      const long = Math.hypot(dx, dy);
      if (long < 0.5) continue;
      const [ux, uy] = [(dx / long) * Math.min(long, 3), (dy / long) * Math.min(long, 3)];
      path += `M${x} ${y}l${dx} ${dy}m${-ux - uy / 2} ${-uy + ux / 2}l${ux + uy / 2} ${uy - ux / 2}l${-ux + uy / 2} ${-uy - ux / 2}`;
    }
    draw("path", { d: path }, 0.3 * unit, 0.4 * unit);
  }
  const path = model.get("path_marks");
  if (path.line && (figure.dataset.at === "0" || figure.dataset.name === hover.name)) {
    draw("polyline", { points: path.line.map(([x, y]) => `${x + 0.5},${y + 0.5}`).join(" ") }, 0.25 * unit, 0.4 * unit);
    for (const [x, y] of path.dots) draw("circle", { class: "eqvi-dot", cx: x + 0.5, cy: y + 0.5, r: 0.6 * unit }, 0.3 * unit, 0.4 * unit);
  }
  const at = found[figure.dataset.at];
  if (!at) return;
  if (figure.dataset.at === "0" && found.curve)
    draw("polyline", { points: found.curve.map(([x, y]) => `${x + 0.5},${y + 0.5}`).join(" ") }, 0.35 * unit);
  const [x, y] = [at[0] + 0.5, at[1] + 0.5];
  draw("circle", { cx: x, cy: y, r: 1.9 * unit }, 0.5 * unit);
  const reach = 4.2 * unit;
  draw("path", { d: `M${x - reach} ${y}h${reach / 2}M${x + reach / 2} ${y}h${reach / 2}` }, 0.5 * unit);
  draw("path", { d: `M${x} ${y - reach}v${reach / 2}M${x} ${y + reach / 2}v${reach / 2}` }, 0.5 * unit);
}

function grid({ model, el }) {
  const slider = make("input", { type: "range", step: "1", "aria-label": "time t of the new frame" });
  const value = make("output", { class: "eqvi-t" });
  const busy = make("span", { class: "eqvi-busy", role: "status" });
  const speed = make("span", { class: "eqvi-speed" });
  const bar = make("div", { class: "eqvi-bar-of-time" }, make("label", {}, "t ", slider), value, busy, speed);
  const body = make("div", { class: "eqvi-groups" });
  const path = make("div", { class: "eqvi-path" });
  const pathSentence = make("p", { class: "eqvi-path-sentence" });
  const drawing = make("div", { class: "eqvi-drawing" });
  const table = make("div", { class: "eqvi-table" });
  const sentence = make("p", { class: "eqvi-sentence", "aria-live": "polite" });
  const numbers = make("details", {}, make("summary", {}, "the pixel in numbers"), table);
  const pixel = make("section", { class: "eqvi-pixel", "aria-label": "the chosen pixel" },
    make("h4", {}, "the chosen pixel, four motion models"), drawing, sentence, numbers,
    make("h4", {}, "the pixel under the pointer, through 2 to 8 frames"), path, pathSentence);
  el.append(bar, make("div", { class: "eqvi-main" }, body, pixel));
  const rooms = new Map();
  for (const name of model.get("groups")) {
    const room = make("div", { class: "eqvi-tiles" });
    rooms.set(name, room);
    body.append(make("section", { class: "eqvi-group", "aria-label": name }, make("h4", {}, name), room));
  }

  const tiles = new Map();
  const hover = { name: null, place: null, timer: null, ask() {
    hover.timer ??= setTimeout(() => {
      hover.timer = null;
      if (hover.place) model.send({ kind: "hover", name: hover.name, ...hover.place });
    }, 50);
  } };
  let asked = null; // when the shown answer was asked for
  let waiting = false; // the kernel has not answered yet
  let wanted = null; // what to ask for next

  const word = (step) => `${step}/${model.get("steps")}`;
  const ask = (step) => {
    waiting = true;
    asked = performance.now();
    busy.textContent = `computing the frame at t = ${word(step)}`;
    el.classList.add("eqvi-waiting");
    model.set("step", step);
    model.save_changes();
  };
  const limits = () => {
    slider.min = 1;
    slider.max = model.get("steps") - 1;
    slider.value = model.get("step");
    value.textContent = slider.ariaValueText = `t = ${word(slider.value)}`;
  };
  slider.addEventListener("input", () => {
    value.textContent = slider.ariaValueText = `t = ${word(slider.value)}`;
    // One question at a time: a slider that is dragged asks faster than anybody can answer.
    if (waiting) wanted = Number(slider.value);
    else ask(Number(slider.value));
  });
  const answered = () => {
    waiting = false;
    busy.textContent = model.get("busy");
    el.classList.toggle("eqvi-waiting", model.get("busy") !== "");
    const next = wanted;
    wanted = null;
    if (next !== null && next !== model.get("step")) ask(next);
  };

  const draw = async () => {
    const pictures = [...model.get("fixed"), ...model.get("moving")];
    const names = new Set(pictures.map((picture) => picture.name));
    for (const [name, old] of tiles)
      if (!names.has(name)) {
        old.figure.remove();
        tiles.delete(name);
      }
    const ready = [];
    for (const picture of pictures) {
      let found = tiles.get(picture.name);
      if (!found) tiles.set(picture.name, (found = tile(picture, model, hover)));
      if (found.data !== picture.data) ready.push(found.update(picture));
      found.data = picture.data;
      const room = rooms.get(picture.group);
      if (found.figure.parentNode !== room) room.append(found.figure);
      mark(found.marks, found.figure, model, hover);
    }
    for (const room of rooms.values()) room.parentNode.hidden = room.children.length === 0;
    await Promise.all(ready);
    body.dataset.shown = model.get("shown");
    if (asked !== null && model.get("shown") === model.get("step")) {
      const took = Math.round(performance.now() - asked);
      asked = null;
      speed.textContent = `shown after ${took} ms`;
      body.dataset.latency = took;
    }
    answered();
  };
  const remark = () => tiles.forEach(({ figure, marks }) => mark(marks, figure, model, hover));
  const tell = () => {
    busy.textContent = model.get("busy");
    el.classList.toggle("eqvi-waiting", model.get("busy") !== "");
    // A frame that is being made is an answer too: what is asked for meanwhile must get through.
    if (model.get("busy")) {
      asked = null;
      answered();
    }
  };
  const explain = () => {
    sentence.textContent = model.get("sentence");
    drawing.innerHTML = model.get("drawing");
    table.innerHTML = model.get("table");
  };
  const trace = () => {
    path.innerHTML = model.get("path_drawing") || "<p>appears once the flows between eight frames are known</p>";
    pathSentence.textContent = model.get("path_sentence");
  };
  const listening = { "change:moving": draw, "change:fixed": draw, "change:marks": remark, "change:busy": tell,
    "change:sentence": explain, "change:drawing": explain, "change:path_marks": remark, "change:path_drawing": trace, "change:steps": limits, "change:step": limits };
  for (const [name, heard] of Object.entries(listening)) model.on(name, heard);
  limits();
  draw();
  tell();
  explain();
  trace();
  return () => Object.entries(listening).forEach(([name, heard]) => model.off(name, heard));
}

// --- divider --------------------------------------------------------------------------------------------------------

function divider({ model, el }) {
  const left = make("img", { draggable: "false" });
  const right = make("img", { draggable: "false", class: "eqvi-over" });
  const line = make("div", { class: "eqvi-line", "aria-hidden": "true" });
  const slider = make("input", { type: "range", min: "0", max: "100", step: "1", "aria-label": "divider between both variants" });
  const stage = make("div", { class: "eqvi-stage" }, right, left, line, slider);
  const names = make("div", { class: "eqvi-names" }, make("span"), make("span"));
  const change = make("img");
  const caption = make("figcaption");
  const busy = make("span", { class: "eqvi-busy", role: "status" });
  el.append(
    make("div", { class: "eqvi-pair" },
      make("figure", {}, stage, names),
      make("figure", {}, change, caption)),
    busy,
  );
  const place = () => {
    const share = Number(slider.value);
    left.style.clipPath = `inset(0 ${100 - share}% 0 0)`;
    line.style.left = `${share}%`;
    slider.ariaValueText = `${share} % of ${model.get("left").name ?? "the left variant"}`;
  };
  const drag = (event) => {
    const box = stage.getBoundingClientRect();
    slider.value = Math.round((100 * (event.clientX - box.left)) / box.width);
    place();
    event.preventDefault();
    slider.focus();
  };
  // The whole picture is the handle, not only the thumb.
  stage.addEventListener("pointerdown", (event) => {
    stage.setPointerCapture(event.pointerId);
    drag(event);
  });
  stage.addEventListener("pointermove", (event) => stage.hasPointerCapture(event.pointerId) && drag(event));
  slider.addEventListener("input", place);
  const draw = () => {
    const [one, other, both] = ["left", "right", "change"].map((name) => model.get(name));
    if (!one.data) return;
    const [width, height] = model.get("size");
    stage.style.aspectRatio = `${width} / ${height}`;
    Promise.all([show(left, one.data, one.alt), show(right, other.data, other.alt), show(change, both.data, both.alt)])
      .then(() => (stage.dataset.shown = model.get("shown")));
    names.children[0].textContent = `◀ ${one.name}, ${one.note}`;
    names.children[1].textContent = `${other.name}, ${other.note} ▶`;
    caption.textContent = `${both.name}, ${both.note}`;
    place();
  };
  const tell = () => (busy.textContent = model.get("busy"));
  slider.value = 50;
  const listening = { "change:left": draw, "change:right": draw, "change:change": draw, "change:busy": tell };
  for (const [name, heard] of Object.entries(listening)) model.on(name, heard);
  draw();
  place();
  tell();
  return () => Object.entries(listening).forEach(([name, heard]) => model.off(name, heard));
}

// --- film -----------------------------------------------------------------------------------------------------------

function film({ model, el }) {
  const screen = make("img", { class: "eqvi-screen" });
  const play = make("button", { type: "button", class: "eqvi-play" });
  const rate = make("input", { type: "range", min: "2", max: "30", value: "10", "aria-label": "frames a second" });
  const label = make("output");
  const rates = make("label", {}, " speed ", rate);
  const strip = make("div", { class: "eqvi-strip", role: "group", "aria-label": "film strip, in the order of time" });
  const busy = make("span", { class: "eqvi-busy", role: "status" });
  el.append(strip, make("div", { class: "eqvi-controls" }, play, rates, label, busy), screen);
  let urls = [], frames = [], current = 0, clock = null;

  const step = (index) => {
    current = index;
    screen.src = urls[current];
    screen.alt = frames[current].alt;
    label.textContent = frames[current].name;
    [...strip.children].forEach((button, i) => button.setAttribute("aria-pressed", String(i === current)));
  };
  const run = (on) => {
    clearInterval(clock);
    clock = on && frames.length ? setInterval(() => step((current + 1) % frames.length), 1000 / Number(rate.value)) : null;
    play.textContent = clock ? "❚❚ pause" : "▶ play";
    play.setAttribute("aria-pressed", String(clock !== null));
  };
  play.addEventListener("click", () => run(clock === null));
  rate.addEventListener("input", () => {
    rate.ariaValueText = `${rate.value} frames a second`;
    if (clock) run(true);
  });
  const draw = () => {
    urls.forEach((url) => URL.revokeObjectURL(url));
    frames = model.get("frames");
    urls = frames.map((frame) => address(frame.data));
    strip.replaceChildren(
      ...frames.map((frame, index) => {
        const button = make("button", { type: "button", "aria-label": `stop at ${frame.name}` },
          make("img", { src: urls[index], alt: frame.alt }), make("span", {}, frame.name));
        button.addEventListener("click", () => {
          run(false);
          step(index);
          model.send({ kind: "chosen", index });
        });
        return button;
      }),
    );
    if (frames.length) step(Math.min(current, frames.length - 1));
    play.disabled = frames.length === 0;
    run(clock !== null);
  };
  const tell = () => (busy.textContent = model.get("busy"));
  const listening = { "change:frames": draw, "change:busy": tell };
  for (const [name, heard] of Object.entries(listening)) model.on(name, heard);
  draw();
  tell();
  return () => {
    run(false);
    Object.entries(listening).forEach(([name, heard]) => model.off(name, heard));
  };
}

function render({ model, el }) {
  el.classList.add("eqvi-explorer");
  const done = { grid, divider, film }[model.get("shape")]({ model, el });
  // A key pressed on what has the focus in here is not meant for the notebook, and JupyterLab has to be told on that
  // very element. The controls around are not ours, and are helped as well.
  const keep = (event) => event.target.setAttribute("data-lm-suppress-shortcuts", "true");
  el.addEventListener("focusin", keep);
  requestAnimationFrame(() => el.closest(".jp-OutputArea-output")?.addEventListener("focusin", keep));
  model.send({ kind: "ready" });
  return done;
}

export default { render };
