// What the pages can do besides being read. Without it they are complete, only longer.
"use strict";

// The ledger: each verdict's button shows or hides its claims.
(() => {
  const buttons = [...document.querySelectorAll(".tally button")];
  const note = document.querySelector("[data-hidden-note]");
  const apply = () => {
    const hidden = [];
    for (const button of buttons) {
      const on = button.getAttribute("aria-pressed") === "true";
      document.querySelector(`.ledger tbody[data-kind="${button.dataset.kind}"]`).hidden = !on;
      const count = Number(button.querySelector(".count").textContent);
      if (!on && count) hidden.push(`${count} ${button.querySelector(".label").lastChild.textContent.trim()}`);
    }
    note.textContent = hidden.length ? `Hidden now: ${hidden.join(", ")}.` : "";
  };
  for (const button of buttons) {
    button.addEventListener("click", () => {
      button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
      apply();
    });
  }
  if (buttons.length) apply();
})();

// Every table can be taken along as a CSV file.
(() => {
  const cell = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const line = (row) => [...row.cells].flatMap((one) =>
    [cell(one.textContent.replace(/\s+/g, " ").trim()), ...Array(one.colSpan - 1).fill("")]).join(",");
  const page = location.pathname.split("/").pop().replace(".html", "") || "index";
  [...document.querySelectorAll(".scroll > table")].forEach((table, number) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "csv";
    button.textContent = "CSV";
    button.title = "download this table";
    const named = document.getElementById(table.parentNode.getAttribute("aria-labelledby"));
    const name = named ? named.textContent : table.parentNode.getAttribute("aria-label");
    button.setAttribute("aria-label", `download ${name} as CSV`);
    button.addEventListener("click", () => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([[...table.rows].map(line).join("\n") + "\n"], { type: "text/csv" }));
      link.download = `${page}_table_${number + 1}.csv`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    });
    table.parentNode.before(button);
  });
})();

// Code cells: closed, and opened all at once by whoever wants to read them.
(() => {
  const button = document.querySelector("[data-code]");
  const cells = [...document.querySelectorAll("details.code")];
  if (!button) return;
  button.hidden = !cells.length;
  const apply = (open) => {
    for (const cell of cells) cell.open = open;
    button.setAttribute("aria-pressed", String(open));
    button.textContent = open ? "hide all code" : "show all code";
  };
  let open = false;
  try {
    open = localStorage.getItem("code") === "open";
  } catch { /* some browsers keep nothing for pages from disk */ }
  if (open) apply(true);
  button.addEventListener("click", () => {
    open = !open;
    apply(open);
    try {
      localStorage.setItem("code", open ? "open" : "closed");
    } catch { /* as above */ }
  });
})();

// The table of contents: closed where it would stand before the text.
(() => {
  const contents = document.querySelector(".contents details");
  if (contents && matchMedia("(max-width: 70rem)").matches) contents.open = false;
})();

// The film can be stopped.
(() => {
  const film = document.querySelector("[data-film]");
  const button = document.querySelector("[data-film-stop]");
  if (!film) return;
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const source = film.parentElement.querySelector("source");
  let stopped = still.matches;
  const apply = () => {
    source.media = stopped ? "all" : "not all";
    button.textContent = stopped ? "play" : "hold still";
  };
  button.addEventListener("click", () => {
    stopped = !stopped;
    apply();
  });
  apply();
})();
