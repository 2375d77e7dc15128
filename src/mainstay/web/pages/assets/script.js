// Mainstay's one script. Every page is complete without it; it only keeps pages fresh and saves clicks.
"use strict";
(() => {
  const body = document.body;
  const main = document.getElementById("main");
  const zh = document.documentElement.lang.startsWith("zh");

  // The reader's zone, so that the server writes clocks in it from the next page on.
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone) document.cookie = "mainstay_zone=" + zone + ";path=/;max-age=31536000;samesite=lax";

  function relative(at) {
    const s = Math.max(0, Math.floor((Date.now() - at) / 1000));
    if (s < 5) return zh ? "刚刚" : "just now";
    const [n, en, cn] = s >= 86400 ? [s / 86400, "d", "天"] : s >= 3600 ? [s / 3600, "h", "小时"] : s >= 60 ? [s / 60, "min", "分钟"] : [s, "s", "秒"];
    return zh ? `${Math.floor(n)} ${cn}前` : `${Math.floor(n)} ${en} ago`;
  }
  function span(at) {
    const s = Math.max(0, Math.floor((Date.now() - at) / 1000));
    const units = [[86400, 3600, "d", "h", "天", "小时"], [3600, 60, "h", "min", "小时", "分"], [60, 1, "min", "s", "分", "秒"]];
    for (const [size, part, one, two, cn, cn2] of units) {
      if (s < size) continue;
      const n = Math.floor(s / size), m = Math.floor((s % size) / part);
      if (!m) return zh ? `${n} ${cn === "分" ? "分钟" : cn}` : `${n} ${one}`;
      return zh ? `${n} ${cn} ${m} ${cn2}` : `${n} ${one} ${m} ${two}`;
    }
    return zh ? `${s} 秒` : `${s} s`;
  }
  function clock(date) {
    const two = (n) => String(n).padStart(2, "0");
    const time = two(date.getHours()) + ":" + two(date.getMinutes());
    const today = new Date();
    if (date.toDateString() === today.toDateString()) return time;
    return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${time}`;
  }
  const forms = {
    ago: (date) => relative(date.getTime()), clock, span: (date) => span(date.getTime()),
    second: (date) => date.toLocaleTimeString("en-GB"),
  };
  function tell(root) {
    for (const el of root.querySelectorAll("time[datetime]")) {
      const date = new Date(el.dateTime);
      const text = forms[el.dataset.as](date);
      if (el.textContent !== text) el.textContent = text;
      el.title = date.toLocaleString();
    }
    for (const el of root.querySelectorAll("button.copy[hidden]")) el.hidden = false;
  }
  tell(document);
  // What runs is counted by the second, the rest is told again now and then.
  let ticks = 0;
  setInterval(() => {
    if (document.hidden) return;
    ticks += 1;
    if (ticks % 10 === 0) tell(document);
    else for (const el of document.querySelectorAll('time[data-as="span"]')) { const text = span(Date.parse(el.dateTime)); if (el.textContent !== text) el.textContent = text; }
  }, 1000);

  document.addEventListener("click", async (event) => {
    const copy = event.target.closest("button.copy");
    if (copy) {
      await navigator.clipboard.writeText(copy.dataset.copy);
      copy.textContent = body.dataset.copied;
      setTimeout(() => { copy.textContent = body.dataset.copy; }, 1500);
      return;
    }
  });
  document.addEventListener("submit", (event) => {
    const asks = event.submitter && event.submitter.dataset.confirm;
    if (asks && !confirm(asks + "?")) event.preventDefault();
  });

  // A short commit id is copied whole.
  document.addEventListener("copy", (event) => {
    const chosen = document.getSelection();
    const sha = chosen.anchorNode && chosen.anchorNode.parentElement.closest(".sha[title]");
    if (sha && chosen.toString().trim() === sha.textContent.trim()) {
      event.clipboardData.setData("text/plain", sha.title);
      event.preventDefault();
    }
  });

  // Put fresh HTML in the place of old, touching only what differs, so that nothing jumps and what was opened stays open.
  function morph(old, fresh) {
    if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) { old.replaceWith(fresh.cloneNode(true)); return; }
    if (old.nodeType !== 1) { if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue; return; }
    if (old.dataset.keep !== fresh.dataset.keep) { old.replaceWith(fresh.cloneNode(true)); return; }
    if (old.dataset.keep || old.isEqualNode(fresh)) return;
    if (old.nodeName === "TIME" && old.dateTime === fresh.dateTime) return;
    for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && name !== "open" && !(name === "hidden")) old.removeAttribute(name);
    for (const { name, value } of fresh.attributes) if (name !== "open" && name !== "hidden" && old.getAttribute(name) !== value) old.setAttribute(name, value);
    if (old === document.activeElement && /INPUT|SELECT|TEXTAREA/.test(old.nodeName)) return;
    const now = [...old.childNodes], then = [...fresh.childNodes];
    then.forEach((node, i) => { if (now[i]) morph(now[i], node); else old.append(node.cloneNode(true)); });
    now.slice(then.length).forEach((node) => node.remove());
  }
  let asked = 0, again = false;
  async function refresh() {
    if (document.hidden) { again = true; return; }
    const wait = asked + 700 - Date.now();
    if (wait > 0) { if (!again) { again = true; setTimeout(() => { again = false; refresh(); }, wait); } return; }
    asked = Date.now();
    const answer = await fetch(body.dataset.refresh || location.href, { headers: { Accept: "text/html" } }).catch(() => null);
    if (!answer || !answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById("main");
    if (!fresh) return;
    // What was ticked stays ticked, wherever its row has moved to.
    const boxes = () => main.querySelectorAll("input[type=checkbox][name]");
    const ticks = new Map([...boxes()].map((box) => [box.name + " " + box.value, box.checked]));
    morph(main, fresh);
    for (const box of boxes()) box.checked = ticks.get(box.name + " " + box.value) ?? box.defaultChecked;
    if (document.title !== page.title) document.title = page.title;
    const icons = [document, page].map((each) => each.querySelector('link[rel="icon"]'));
    if (icons[0].getAttribute("href") !== icons[1].getAttribute("href")) icons[0].href = icons[1].getAttribute("href");
    tell(main);
    document.dispatchEvent(new Event("refreshed"));
  }
  document.addEventListener("stale", refresh);

  // Live: only while somebody looks, for a browser keeps few connections to one server.
  let changes = null;
  function listen() {
    const topics = body.dataset.live.split(" ").filter(Boolean);
    if (!topics.length || changes) return;
    changes = new EventSource("/live?" + topics.map((topic) => "topic=" + encodeURIComponent(topic)).join("&"));
    let opened = false;
    changes.addEventListener("open", () => { if (opened) refresh(); opened = true; });
    changes.addEventListener("changed", refresh);
  }
  function silence() { if (changes) { changes.close(); changes = null; } }
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) silence(); else { listen(); refresh(); tell(document); }
  });
  addEventListener("pagehide", silence);
  if (!document.hidden) listen();
})();
