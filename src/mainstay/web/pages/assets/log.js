// The log page's script: further parts, the tail, chosen lines, wrapping. The page is complete without it.
"use strict";
(() => {
  const root = document.documentElement;
  const atEnd = () => innerHeight + scrollY >= root.scrollHeight - 80;
  const toEnd = () => scrollTo(0, root.scrollHeight);

  // Further parts, as the reader comes near them.
  let loading = false;
  async function further(link) {
    if (loading) return;
    loading = true;
    try {
      const answer = await fetch(link.dataset.part);
      if (!answer.ok) return;
      document.getElementById("log").insertAdjacentHTML("beforeend", await answer.text());
      const next = answer.headers.get("Log-Next");
      if (next) {
        link.dataset.part = link.dataset.part.replace(/from=\d+/, "from=" + next);
        link.href = link.href.replace(/at=\d+/, "at=" + next);
      } else {
        link.parentElement.remove();
      }
    } finally { loading = false; }
  }
  let watched = null;
  function watchMore() {
    const near = document.querySelector("a[data-more]");
    if (!near || near === watched || !("IntersectionObserver" in window)) return;
    watched = near;
    let parts = 0;
    const watching = new IntersectionObserver((seen) => {
      if (!near.isConnected || parts >= 40) watching.disconnect();
      else if (seen[0].isIntersecting) { parts += 1; further(near).then(() => { watching.unobserve(near); if (near.isConnected) watching.observe(near); }); }
    }, { rootMargin: "600px" });
    watching.observe(near);
  }

  // The tail. It follows a reader who is at its end; anybody else is only told how many lines have come.
  let tail = null, followed = null, following = true, unseen = 0;
  function tellUnseen(newer) {
    newer.textContent = unseen === 1 ? newer.dataset.one : newer.dataset.many.replace("{n}", unseen.toLocaleString());
    newer.hidden = unseen <= 0;
  }
  // The bytes of the next step may come before it is known that it has begun: what was added of it is taken back.
  function endPart() {
    const row = document.querySelector(".logsteps .opened > .row[data-last]");
    if (!row || !tail || !followed.isConnected) return;
    tail.close();
    tail = null;
    const newer = followed.parentElement.querySelector(".newer");
    for (let line; (line = followed.lastElementChild) && Number(line.id.slice(1)) > Number(row.dataset.last);) { line.remove(); unseen -= 1; }
    if (!newer.hidden) tellUnseen(newer);
  }
  function follow() {
    const log = document.querySelector(".log[data-tail]");
    if (log === followed) return;
    if (tail) tail.close();
    followed = log;
    tail = null;
    if (!log) return;
    const newer = log.parentElement.querySelector(".newer");
    unseen = 0;
    tail = new EventSource(log.dataset.tail);
    function add(html, ended) {
      const end = atEnd();
      const last = log.lastElementChild;
      if (last && last.classList.contains("unended")) last.remove();
      log.insertAdjacentHTML("beforeend", html);
      if (!ended) { if (log.lastElementChild) log.lastElementChild.classList.add("unended"); if (end) toEnd(); return; }
      if (end) {
        while (log.childElementCount > 20000) log.firstElementChild.remove();
        toEnd();
      } else {
        unseen += html.split('<div class="l').length - 1;
        tellUnseen(newer);
      }
    }
    newer.onclick = () => { toEnd(); };
    addEventListener("scroll", () => { if (atEnd()) { unseen = 0; newer.hidden = true; } }, { passive: true });
    tail.addEventListener("lines", (event) => add(JSON.parse(event.data).html, true));
    tail.addEventListener("unended", (event) => add(JSON.parse(event.data).html, false));
    tail.addEventListener("ended", () => { tail.close(); newer.hidden = true; document.dispatchEvent(new Event("stale")); });
  }
  addEventListener("scroll", () => {
    following = atEnd();
    const part = document.querySelector(".opened-part");
    // A reader in the middle of a step stays there when the next one begins.
    if (following || !part) delete document.body.dataset.refresh;
    else document.body.dataset.refresh = location.pathname + "?step=" + part.dataset.part;
  }, { passive: true });
  document.addEventListener("refreshed", () => {
    const before = followed;
    endPart();
    follow();
    watchMore();
    if (followed && followed !== before && following) toEnd();
  });
  addEventListener("pagehide", () => tail && tail.close());

  // Lines are chosen by their numbers, more of them with Shift; the address then leads to them.
  let anchor = 0;
  function mark(low, high) {
    for (const each of document.querySelectorAll("#log .here")) each.classList.remove("here");
    for (let n = low; n <= high && n < low + 5000; n++) document.getElementById("L" + n)?.classList.add("here");
    history.replaceState(null, "", `?lines=${low}${high > low ? "-" + high : ""}#L${low}`);
  }
  document.addEventListener("click", (event) => {
    const more = event.target.closest("a[data-more]");
    const link = event.target.closest("#log a.n");
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (more && !event.shiftKey) { event.preventDefault(); further(more); return; }
    const line = link && Number(link.textContent);
    if (!line) return;
    event.preventDefault();
    if (event.shiftKey && anchor) mark(Math.min(anchor, line), Math.max(anchor, line));
    else { anchor = line; mark(line, line); }
  });
  const asked = /^#L(\d+)(?:-L?(\d+))?$/.exec(location.hash);
  if (asked && (asked[2] || !document.getElementById("L" + asked[1])) && !location.search.includes("lines=")) {
    location.replace(`?lines=${asked[1]}${asked[2] ? "-" + asked[2] : ""}#L${asked[1]}`);
  }
  const chosen = /[?&]lines=(\d+)/.exec(location.search);
  if (chosen) anchor = Number(chosen[1]);

  // Long lines are wrapped, or scrolled sideways.
  const wrap = document.querySelector("button.wrap");
  wrap.hidden = false;
  wrap.addEventListener("click", () => {
    const on = wrap.getAttribute("aria-pressed") !== "true";
    wrap.setAttribute("aria-pressed", on);
    for (const log of document.querySelectorAll(".log")) log.classList.toggle("long", !on);
    document.cookie = `mainstay_wrap=${on ? "yes" : "no"};path=/;max-age=31536000;samesite=lax`;
  });

  watchMore();
  follow();
  const here = document.querySelector("#log .here");
  if (here && !location.hash) {
    const place = here.getBoundingClientRect();
    if (place.top > innerHeight * 0.7) here.scrollIntoView({ block: "center" });
  } else if (followed && !location.hash && !location.search) toEnd();
})();
