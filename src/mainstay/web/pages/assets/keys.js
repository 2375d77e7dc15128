// Keys: the palette that leads anywhere (Ctrl K), and single letters for what people do all day (`?` shows them).
"use strict";
(() => {
  const palette = document.getElementById("palette"), keys = document.getElementById("keys");
  const input = palette.querySelector("input"), list = document.getElementById("places");
  const single = document.getElementById("single");
  const mac = /Mac|iPhone|iPad/.test(navigator.platform);
  for (const kbd of document.querySelectorAll("kbd")) if (mac) kbd.textContent = kbd.textContent.replace("Ctrl", "⌘");

  // The repository that this page is about.
  function repository() {
    const link = document.querySelector('.crumbs a[href^="/repositories/"]');
    return link ? link.getAttribute("href").split(/[?#]/)[0] : null;
  }
  const name = () => (repository() ? decodeURIComponent(repository().split("/")[2]) : "");

  // The palette: a combobox; the chosen row is told to screen readers by aria-activedescendant.
  let chosen = 0, asked = 0, waiting = 0;
  function choose(at) {
    const rows = list.querySelectorAll('[role="option"]');
    if (!rows.length) { input.removeAttribute("aria-activedescendant"); return; }
    chosen = (at + rows.length) % rows.length;
    rows.forEach((row, i) => row.setAttribute("aria-selected", i === chosen));
    input.setAttribute("aria-activedescendant", rows[chosen].id);
    rows[chosen].scrollIntoView({ block: "nearest" });
  }
  async function find() {
    const turn = ++asked;
    const answer = await fetch("/palette?" + new URLSearchParams({ q: input.value, here: name() })).catch(() => null);
    if (!answer || !answer.ok || turn !== asked) return;
    const places = await answer.json();
    list.replaceChildren(...places.map((place, i) => {
      const row = document.createElement("li");
      row.id = "place-" + i;
      row.setAttribute("role", "option");
      row.dataset.href = place.href;
      const text = document.createElement("bdi"), kind = document.createElement("span");
      text.textContent = place.text;
      kind.textContent = place.kind;
      kind.className = "quiet";
      row.append(text, kind);
      return row;
    }));
    if (!places.length) {
      const none = document.createElement("li");
      none.className = "empty";
      none.textContent = palette.dataset.none;
      list.append(none);
    }
    choose(0);
  }
  function open() {
    if (palette.open) return;
    input.value = "";
    list.replaceChildren();
    palette.showModal();
    find();
  }
  input.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(find, 80); });
  input.addEventListener("keydown", async (event) => {
    if (event.key === "ArrowDown") choose(chosen + 1);
    else if (event.key === "ArrowUp") choose(chosen - 1);
    else if (event.key === "Enter" && !event.isComposing) {
      clearTimeout(waiting);
      await find();
      const row = list.querySelector('[aria-selected="true"]');
      if (row) location.href = row.dataset.href;
    } else return;
    event.preventDefault();
  });
  list.addEventListener("click", (event) => {
    const row = event.target.closest("[data-href]");
    if (row) location.href = row.dataset.href;
  });
  for (const dialog of [palette, keys]) {
    dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
    dialog.addEventListener("close", () => { if (dialog.contains(document.activeElement)) document.activeElement.blur(); });
  }

  const opener = document.querySelector(".goto"), helper = document.querySelector(".show-keys");
  opener.hidden = helper.hidden = false;
  opener.addEventListener("click", open);
  helper.addEventListener("click", () => keys.showModal());

  // Single letters may be in the way of other tools, so they can be switched off.
  single.checked = localStorage.getItem("mainstay_keys") !== "off";
  single.addEventListener("change", () => localStorage.setItem("mainstay_keys", single.checked ? "on" : "off"));

  function rows() {
    const found = [];
    for (const row of document.querySelectorAll("main .table > li, main .grid tbody tr, main .logsteps > li, main .failures > li")) {
      const link = row.querySelector("a[href], summary");
      if (link && link.checkVisibility()) found.push(link);
    }
    return found;
  }
  function step(by) {
    const found = rows();
    if (!found.length) return;
    const now = found.findIndex((link) => link === document.activeElement || link.closest("li, tr").contains(document.activeElement));
    const next = found[Math.max(0, Math.min(found.length - 1, now < 0 ? 0 : now + by))];
    next.focus();
    next.scrollIntoView({ block: "nearest" });
  }
  const go = (href) => { if (href) location.href = href; };
  const places = {
    h: () => "/", q: () => "/queue", r: () => "/runners",
    c: () => repository(), t: () => repository() && repository() + "/tests",
  };
  const acts = {
    "?": () => keys.showModal(),
    "/": () => { const search = document.querySelector('main input[type="search"]'); if (search) search.focus(); else open(); },
    j: () => step(1),
    k: () => step(-1),
    "[": () => go(document.querySelector('a[rel="prev"]')?.href),
    "]": () => go(document.querySelector('a[rel="next"]')?.href),
    r: () => document.querySelector('main button[data-key="r"]')?.click(),
  };
  let going = 0;
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey && event.key.toLowerCase() === "k") {
      event.preventDefault();
      open();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || !single.checked) return;
    if (event.target.closest("input:not([type=checkbox]), select, textarea, dialog[open], [contenteditable]")) return;
    if (going && Date.now() - going < 1500 && places[event.key]) { event.preventDefault(); going = 0; go(places[event.key]()); return; }
    going = event.key === "g" ? Date.now() : 0;
    const act = acts[event.key];
    if (act) { event.preventDefault(); act(); }
  });
})();
