// The motion models of eqvi/model/motion.py, for one pixel; tests/site/test_browser.py holds them to eqvi.viz.pixel_motion.
"use strict";

window.EQVI_MOTION = (() => {
  const CENTRE = 5; // RECTIFICATION_CENTRE: pairwise accelerations that differ by this get equal weight

  // f(s) = v s + a s^2 / 2 from what was observed at -1 (back), 1 (there) and 2 (beyond), pixels
  const parabola = (back, there) => ({ v: (there - back) / 2, a: back + there });
  const leastSquares = (back, there, beyond) => ({
    v: (-13 * back + 5 * there + 2 * beyond) / 22,
    a: (7 * back - there + 4 * beyond) / 11,
  });
  const accelerations = (back, there, beyond) => [back + there, (2 * back + beyond) / 3, beyond - 2 * there];
  const agree = ([a1, a2, a3]) => a1 * a2 > 0 && a1 * a3 > 0;
  const weight = ([a1, a2]) => (1 - Math.tanh(Math.abs(a1 - a2) - CENTRE)) / 2;
  const at = ({ v, a }, s) => v * s + (a * s * s) / 2;

  // One component, x or y.
  const axis = (back, there, beyond) => {
    const found = accelerations(back, there, beyond);
    const consistent = agree(found);
    const alpha = consistent ? weight(found) : 0;
    const two = parabola(back, there);
    const fit = leastSquares(back, there, beyond);
    const mixed = { v: two.v + alpha * (fit.v - two.v), a: two.a + alpha * (fit.a - two.a) };
    const curves = {
      "linear": (s) => there * s,
      "quadratic": (s) => at(two, s),
      "least squares": (s) => at(fit, s),
      "rectified": (s) => at(mixed, s),
    };
    return { observed: [back, there, beyond], accelerations: found, consistent, alpha, curves };
  };

  // A pixel of frame 1: both components, and where it is at t.
  const trace = (x, y, flows, t) => {
    const both = [0, 1].map((c) => axis(flows[0][c], flows[1][c], flows[2][c]));
    const landing = [x + both[0].curves.rectified(t), y + both[1].curves.rectified(t)];
    return { pixel: [x, y], x: both[0], y: both[1], landing };
  };

  // The flows of one window as explorer/WINDOW/flows.js holds them.
  const reader = (flows) => {
    const bytes = Uint8Array.from(atob(flows.data), (letter) => letter.charCodeAt(0));
    const view = new DataView(bytes.buffer);
    const { step, rows, columns, unit, order } = flows;
    // The nearest pixel that has flows.
    const snap = (x, y) => [
      Math.min(Math.max(Math.round(x / step), 0), columns - 1) * step,
      Math.min(Math.max(Math.round(y / step), 0), rows - 1) * step,
    ];
    // F_10, F_12, F_13, F_23, F_21, F_20 there, each (x, y).
    const read = (x, y) => {
      const first = ((y / step) * columns + x / step) * order.length * 2;
      return order.map((_, n) => [0, 1].map((c) => view.getInt16((first + 2 * n + c) * 2, true) * unit));
    };
    return { snap, read };
  };

  return { trace, reader };
})();
