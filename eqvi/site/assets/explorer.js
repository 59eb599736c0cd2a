// The explorer: shows pictures that were made beforehand, and computes a pixel's motion itself (motion.js).
"use strict";

(() => {
  const data = window.EQVI_DATA;
  const $ = (id) => document.getElementById(id);
  const state = { window: 0, time: Math.floor(data.times.length / 2), parts: new Set(), asked: null, other: "none", pixel: null };

  const view = () => data.windows[state.window];
  const partsOf = (name) => (name === "none" ? [] : name.split("+"));
  const key = () => view().parts.map(([name]) => name).filter((name) => state.parts.has(name)).join("+") || "none";
  const variant = (name) => view().variants.find((one) => one.key === name);
  const decibels = (value) => (value === null ? "not known" : `${value.toFixed(2)} dB`);
  const element = (tag, attributes = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children);
    return node;
  };

  // A strip holds one picture for each time, one below the other; its box shows one of them.
  const show = (box, number, row, rows) => {
    const strip = view().strips[number];
    const image = box.querySelector("img");
    if (image.getAttribute("src") !== strip.file) image.setAttribute("src", strip.file);
    box.style.aspectRatio = `${view().width} / ${view().height}`;
    image.style.transform = `translateY(${(-100 * row) / rows}%)`;
    image.alt = strip.alts[row];
    return strip;
  };
  const showNow = (box, number) => show(box, number, state.time, data.times.length);

  // The part of the picture that is magnified lies about the place where the chosen pixel lands.
  const part = () => {
    const { width, height } = view();
    const by = Number($("zoom").value);
    const [x, y] = state.found?.landing ?? [width / 2, height / 2];
    const within = (place, size) => Math.min(Math.max(place - size / by / 2, 0), size - size / by);
    return { by, left: within(x, width), top: within(y, height), width: width / by, height: height / by };
  };
  const magnify = () => {
    const { by, left, top, width, height } = part();
    const rows = data.times.length;
    for (const box of [$("before"), $("after")]) {
      const image = box.querySelector("img");
      const down = (state.time * view().height + top) / (rows * view().height);
      image.style.transform = `translate(${(-100 * by * left) / view().width}%, ${-100 * by * down}%) scale(${by})`;
      image.classList.toggle("large", by > 2);
    }
    const svg = $("compare").querySelector("svg");
    svg.setAttribute("viewBox", `${left} ${top} ${width} ${height}`);
    if (state.found) window.EQVI_CURVES.landing(svg, state.found, by);
  };

  // The true frame is the same for every variant.
  const side = (name) => (name === "truth" ? variant("none").layers.truth : variant(name).layers.frame);

  const drawCompare = () => {
    const own = variant(key());
    showNow($("before"), side(key()));
    showNow($("after"), side(state.other));
    $("compare").style.aspectRatio = `${view().width} / ${view().height}`;
    $("left-name").textContent = own.name;
    $("left-psnr").textContent = decibels(own.psnr[state.time]);
    $("right-psnr").textContent = state.other === "truth" ? "" : decibels(variant(state.other).psnr[state.time]);
    magnify();
    drawDivider();
  };
  const drawDivider = () => $("compare").style.setProperty("--cut", `${$("divider").value}%`);

  const drawVariants = () => {
    const all = view().variants;
    const now = all.map((one) => one.psnr[state.time]);
    const known = now.filter((value) => value !== null);
    const [low, high] = [Math.min(...known), Math.max(...known)];
    const reach = Math.max(high - low, 0.05);
    const rows = all.map((one, n) => {
      const button = element("button", { type: "button", class: "plain" }, one.name);
      button.addEventListener("click", () => {
        state.parts = new Set(partsOf(one.key));
        draw();
        document.querySelector("#variants tr.chosen button").focus();
      });
      const mean = one.psnr.reduce((sum, value) => sum + value, 0) / one.psnr.length;
      const bar = element("span", { class: "psnr-bar", style: `width: ${(8 + (92 * (now[n] - low)) / reach).toFixed(1)}%` });
      const row = element("tr", {},
        element("td", {}, button), element("td", { class: "number" }, now[n] === null ? "–" : now[n].toFixed(2)),
        element("td", { class: "wide", "aria-hidden": "true" }, bar), element("td", { class: "number" }, mean.toFixed(2)));
      if (one.key === key()) {
        row.className = "chosen";
        button.setAttribute("aria-current", "true");
      }
      return row;
    });
    $("variants").tBodies[0].replaceChildren(...rows);
  };

  const card = (name, heading) => {
    const caption = element("figcaption", {}, element("strong", {}, heading), " ", element("span", { class: "note" }));
    const box = element("div", { class: "strip" }, element("img", { alt: "", draggable: "false" }));
    const figure = element("figure", { "data-layer": name }, box, caption);
    const legend = view().legends[name];
    if (legend) {
      figure.append(element("p", { class: "legend" }, legend.left, " ",
        element("img", { src: legend.file, alt: "" }), " ", legend.right));
    }
    return figure;
  };
  const buildLayers = () => {
    const chosen = data.layers.filter(([name]) => view().variants.some((one) => name in one.layers));
    $("layers").replaceChildren(...chosen.map(([name, heading]) => card(name, heading)));
    const given = ["I₀", "I₁", "I₂", "I₃"].map((name, n) => {
      const figure = card(`given${n}`, name);
      const strip = show(figure.querySelector(".strip"), view().given, n, 4);
      figure.querySelector(".note").textContent = strip.notes[n];
      return figure;
    });
    $("given").replaceChildren(...given);
  };
  const drawLayers = () => {
    const layers = variant(key()).layers;
    for (const figure of $("layers").children) {
      const there = figure.dataset.layer in layers;
      figure.classList.toggle("absent", !there);
      const note = figure.querySelector(".note");
      if (there) note.textContent = showNow(figure.querySelector(".strip"), layers[figure.dataset.layer]).notes[state.time];
      else note.textContent = "this part is switched off";
    }
  };

  const drawParts = () => {
    const own = partsOf(view().own);
    const whole = view().parts.every(([part]) => part === "ensemble" || own.includes(part) === state.parts.has(part));
    if (!whole) state.parts.delete("ensemble");
    for (const input of $("parts").querySelectorAll("input")) {
      input.checked = state.parts.has(input.value);
      if (input.value === "ensemble") input.disabled = !whole;
    }
    $("parts-note").textContent = `Model: ${view().model}. The ensemble can be added to the model as it was trained${whole ? "" : `: ${variant(view().own).name}`}.`;
  };

  // Flows come as a script for each window, once it is looked at.
  const readers = {};
  const flows = (then) => {
    const name = view().key;
    if (readers[name]) return then(readers[name]);
    const script = element("script", { src: view().flows });
    script.addEventListener("load", () => {
      readers[name] ??= window.EQVI_MOTION.reader(window.EQVI_FLOWS[name]);
      if (view().key === name) then(readers[name]);
    });
    document.head.append(script);
  };

  const number = (value) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(2);
  const drawPixel = () => flows((reader) => {
    const { width, height } = view();
    state.pixel = reader.snap(...(state.pixel ?? [width * 0.45, height * 0.5]));
    const [x, y] = state.pixel;
    const t = data.times[state.time];
    const found = window.EQVI_MOTION.trace(x, y, reader.read(x, y), t);
    window.EQVI_CURVES.path($("pixel-picture").querySelector("svg"), found, width, height);
    $("curves").replaceChildren(
      window.EQVI_CURVES.legend(), window.EQVI_CURVES.plot(found.x, "x (right)", t), window.EQVI_CURVES.plot(found.y, "y (down)", t));
    for (const [name, value, most] of [["x", x, width], ["y", y, height]]) {
      const input = $(`pixel-${name}`);
      Object.assign(input, { value, max: most - 1, step: window.EQVI_FLOWS[view().key].step });
    }
    const row = (axis, name, place) => element("tr", {}, element("th", { scope: "row" }, name),
      ...axis.observed.map((value) => element("td", { class: "number" }, number(value))),
      ...axis.accelerations.map((value) => element("td", { class: "number" }, number(value))),
      element("td", {}, axis.consistent ? "yes" : "no"), element("td", { class: "number" }, axis.alpha.toFixed(3)),
      ...Object.values(axis.curves).map((curve) => element("td", { class: "number" }, number(curve(t)))),
      element("td", { class: "number" }, place.toFixed(2)));
    const heads = ["axis", "F₁₀", "F₁₂", "F₁₃", "a₁ (−1, 1)", "a₂ (−1, 2)", "a₃ (1, 2)", "signs agree", "α", "linear", "quadratic", "least squares", "rectified", "lands at"];
    $("numbers").replaceChildren(
      element("thead", {},
        element("tr", {}, element("td"), element("th", { colspan: 3, scope: "colgroup" }, "observed, px"),
          element("th", { colspan: 3, scope: "colgroup" }, "accelerations, px"), element("th", { colspan: 2, scope: "colgroup" }, "RQFP"),
          element("th", { colspan: 4, scope: "colgroup" }, `moved by t = ${t}, px`), element("td")),
        element("tr", {}, ...heads.map((head) => element("th", { scope: "col" }, head)))),
      element("tbody", {}, row(found.x, "x", found.landing[0]), row(found.y, "y", found.landing[1])));
    const sign = (axis) => (axis.consistent ? `signs agree, alpha ${axis.alpha.toFixed(2)}` : "signs disagree, alpha 0");
    $("pixel-said").textContent = `Pixel ${x}, ${y}. In x ${sign(found.x)}; in y ${sign(found.y)}. At t = ${t} it is at ${found.landing.map((value) => value.toFixed(1)).join(", ")}.`;
    state.found = found;
    magnify();
    save();
  });

  const drawTime = () => {
    const t = data.times[state.time];
    $("t").value = state.time;
    $("t").setAttribute("aria-valuetext", `t = ${t}`);
    $("t-value").textContent = t.toFixed(2).replace(/0$/, "");
  };
  const draw = () => {
    drawParts();
    drawTime();
    drawCompare();
    drawVariants();
    drawLayers();
    drawPixel();
  };
  const drawWindow = () => {
    state.parts = new Set(partsOf(state.asked ?? view().own));
    state.asked = null;
    state.other = "none";
    $("parts").replaceChildren($("parts").querySelector("legend"), ...view().parts.map(([name, text]) =>
      element("label", {}, element("input", { type: "checkbox", value: name }), ` ${text}`)));
    const options = [["truth", "true frame"], ...view().variants.map((one) => [one.key, one.name])];
    $("other").replaceChildren(...options.map(([value, text]) => new Option(text, value, false, value === state.other)));
    buildLayers();
    show($("pixel-picture"), view().given, 1, 4);
    $("pixel-picture").setAttribute("aria-label", "Frame I1: arrow keys move the chosen pixel, with Shift by eight steps");
    draw();
  };

  let timer = 0;

  // The address keeps what is shown, so that it can be sent or returned to: #window,t,parts,x,y.
  let saving = 0;
  const save = () => {
    clearTimeout(saving);
    if (timer) return;
    saving = setTimeout(() => {
      try {
        history.replaceState(null, "", `#${[view().key, data.times[state.time], key(), ...state.pixel].join(",")}`);
      } catch { /* some browsers refuse that for pages from disk */ }
    }, 300);
  };
  const restore = () => {
    const [name, t, parts, x, y] = decodeURIComponent(location.hash.slice(1)).split(",");
    const window = data.windows.findIndex((one) => one.key === name);
    if (window < 0) return;
    state.window = window;
    if (data.times.includes(Number(t))) state.time = data.times.indexOf(Number(t));
    if (variant(parts)) state.asked = parts;
    if (x && y && Number.isFinite(Number(x) + Number(y))) state.pixel = [Number(x), Number(y)];
  };

  // The loop: forth and back through t.
  const play = (on) => {
    clearInterval(timer);
    timer = 0;
    $("play").setAttribute("aria-pressed", String(on));
    $("play").textContent = on ? "stop" : "play";
    let step = 1;
    if (on) timer = setInterval(() => {
      if (state.time + step < 0 || state.time + step >= data.times.length) step = -step;
      state.time += step;
      draw();
    }, matchMedia("(prefers-reduced-motion: reduce)").matches ? 900 : 160);
  };

  const pick = (x, y) => {
    state.pixel = [x, y];
    drawPixel();
  };
  const inPicture = (event, box) => {
    const frame = box.getBoundingClientRect();
    return [((event.clientX - frame.left) / frame.width) * view().width - 0.5, ((event.clientY - frame.top) / frame.height) * view().height - 0.5];
  };

  data.windows.forEach((one, n) => $("window").append(new Option(one.name, n)));
  $("t").max = data.times.length - 1;

  $("window").addEventListener("change", () => {
    state.window = Number($("window").value);
    state.pixel = state.found = null;
    drawWindow();
  });
  $("t").addEventListener("input", () => {
    play(false);
    state.time = Number($("t").value);
    draw();
  });
  $("play").addEventListener("click", () => play(!timer));
  $("parts").addEventListener("change", (event) => {
    state.parts[event.target.checked ? "add" : "delete"](event.target.value);
    draw();
  });
  $("other").addEventListener("change", () => {
    state.other = $("other").value;
    drawCompare();
  });
  $("zoom").addEventListener("change", magnify);
  $("divider").addEventListener("input", drawDivider);
  $("pixel-picture").addEventListener("click", (event) => pick(...inPicture(event, $("pixel-picture"))));
  $("pixel-picture").addEventListener("keydown", (event) => {
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!by || !state.found) return;
    event.preventDefault();
    const step = window.EQVI_FLOWS[view().key].step * (event.shiftKey ? 8 : 1);
    pick(state.pixel[0] + by[0] * step, state.pixel[1] + by[1] * step);
  });
  for (const name of ["x", "y"]) {
    $(`pixel-${name}`).addEventListener("change", () => pick(Number($("pixel-x").value), Number($("pixel-y").value)));
  }
  document.querySelector(".controls").addEventListener("submit", (event) => event.preventDefault());

  restore();
  $("window").value = state.window;
  $("explorer").hidden = false;
  drawWindow();
  window.EQVI_STATE = state; // for tests
})();
