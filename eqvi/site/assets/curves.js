// Drawing of one pixel's curves: displacement over time, x and y, as SVG.
"use strict";

window.EQVI_CURVES = (() => {
  const SVG = "http://www.w3.org/2000/svg";
  const TIMES = [-1, 1, 2];
  // Okabe and Ito's colours; each curve has a dash of its own as well.
  const STYLE = {
    "linear": ["#0072B2", "2 4"],
    "quadratic": ["#D55E00", "8 4"],
    "least squares": ["#009E73", "10 3 2 3"],
    "rectified": ["#000000", ""],
  };
  const make = (name, attributes, text) => {
    const node = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const steps = (low, high, count) => Array.from({ length: count + 1 }, (_, n) => low + ((high - low) * n) / count);

  // Ticks at 1, 2 or 5 times a power of ten.
  const ticks = (low, high) => {
    const rough = (high - low) / 5;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = power * ([1, 2, 5].find((factor) => factor * power >= rough) ?? 10);
    const found = [];
    for (let value = Math.ceil(low / step) * step; value <= high + step / 1e6; value += step) found.push(value);
    return { found, digits: Math.max(0, -Math.floor(Math.log10(step))) };
  };

  const plot = (axis, name, t) => {
    const [width, height, left, right, top, bottom] = [420, 240, 46, 8, 24, 30];
    const times = steps(-1, 2, 90);
    const values = [0, ...axis.observed, ...Object.values(axis.curves).flatMap((curve) => times.map(curve))];
    let [low, high] = [Math.min(...values), Math.max(...values)];
    const room = Math.max((high - low) * 0.06, 0.25);
    [low, high] = [low - room, high + room];
    const x = (s) => left + ((s + 1) / 3) * (width - left - right);
    const y = (value) => height - bottom - ((value - low) / (high - low)) * (height - top - bottom);
    const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, class: "plot", role: "img" });
    const ends = Object.entries(axis.curves).map(([label, curve]) => `${label} ${curve(t).toFixed(2)}`);
    svg.append(make("title", {}, `Displacement in ${name} over time. At t = ${t}: ${ends.join(", ")} pixels.`));
    const { found, digits } = ticks(low, high);
    for (const value of found) {
      svg.append(make("line", { x1: left, x2: width - right, y1: y(value), y2: y(value), class: "grid" }));
      svg.append(make("text", { x: left - 6, y: y(value) + 4, class: "tick", "text-anchor": "end" }, value.toFixed(digits)));
    }
    for (const s of [-1, 0, 1, 2]) {
      svg.append(make("text", { x: x(s), y: height - 12, class: "tick", "text-anchor": "middle" }, String(s).replace("-", "−")));
    }
    svg.append(make("line", { x1: x(t), x2: x(t), y1: top, y2: height - bottom, class: "now" }));
    svg.append(make("text", { x: x(t), y: height - 12, class: "tick now-text", "text-anchor": "middle" }, "t"));
    for (const [label, curve] of Object.entries(axis.curves)) {
      const points = times.map((s) => `${x(s).toFixed(1)},${y(curve(s)).toFixed(1)}`).join(" ");
      const [stroke, dash] = STYLE[label];
      const wide = label === "rectified" ? 2.5 : 2;
      svg.append(make("polyline", { points, fill: "none", stroke, "stroke-width": wide, "stroke-dasharray": dash }));
    }
    axis.observed.forEach((value, n) => {
      svg.append(make("circle", { cx: x(TIMES[n]), cy: y(value), r: 4.5, class: "seen" }));
    });
    svg.append(make("circle", { cx: x(t), cy: y(axis.curves.rectified(t)), r: 4, fill: "#000" }));
    svg.append(make("text", { x: left, y: 14, class: "axis" }, `${name}, px`));
    return svg;
  };

  const legend = () => {
    const list = document.createElement("ul");
    list.className = "legend-lines";
    for (const [label, [stroke, dash]] of Object.entries(STYLE)) {
      const item = document.createElement("li");
      const line = make("svg", { viewBox: "0 0 34 8", width: 34, height: 8, "aria-hidden": "true" });
      line.append(make("line", { x1: 1, x2: 33, y1: 4, y2: 4, stroke, "stroke-width": 2.5, "stroke-dasharray": dash }));
      item.append(line, label);
      list.append(item);
    }
    const item = document.createElement("li");
    const dot = make("svg", { viewBox: "0 0 12 12", width: 12, height: 12, "aria-hidden": "true" });
    dot.append(make("circle", { cx: 6, cy: 6, r: 4.5, class: "seen" }));
    item.append(dot, "observed");
    list.append(item);
    return list;
  };

  // The pixel's path in the frame, its observed places and where it is at t, over a picture.
  const path = (svg, trace, width, height) => {
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const [x, y] = trace.pixel;
    const place = (s) => [x + trace.x.curves.rectified(s), y + trace.y.curves.rectified(s)];
    const points = steps(-1, 2, 60).map((s) => place(s).map((value) => (value + 0.5).toFixed(2)).join(",")).join(" ");
    const seen = trace.x.observed.map((value, n) => [x + value, y + trace.y.observed[n]]);
    svg.replaceChildren(
      make("polyline", { points, class: "path-under" }),
      make("polyline", { points, class: "path-over" }),
      ...seen.map(([cx, cy]) => make("circle", { cx: cx + 0.5, cy: cy + 0.5, r: 3, class: "seen" })),
      ...cross(x, y),
      make("circle", { cx: trace.landing[0] + 0.5, cy: trace.landing[1] + 0.5, r: 4, class: "landing" }),
    );
  };
  const cross = (x, y) => ["path-under", "path-over"].map((kind) =>
    make("path", { d: `M${x - 6.5} ${y + 0.5}h5m4 0h5M${x + 0.5} ${y - 6.5}v5m0 4v5`, class: kind }));

  // Where it landed, alone: a ring that leaves the picture to be seen, the same size at any magnification.
  const landing = (svg, trace, by) => {
    const place = { cx: trace.landing[0] + 0.5, cy: trace.landing[1] + 0.5, r: 6 / by };
    svg.replaceChildren(make("circle", { ...place, class: "ring-under" }), make("circle", { ...place, class: "ring-over" }));
  };

  return { plot, legend, path, landing };
})();
