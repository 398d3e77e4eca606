// What makes the pages quicker to use. All of it is comfort: every page reads and every form works without.

const main = document.querySelector("main");
const one = (selector, within = document) => within.querySelector(selector);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];

// A part of the page, as it is now. A session that ended is said once, and nothing typed is lost.
async function part(url, name) {
  try {
    const answer = await fetch(url, { headers: { "X-Part": name }, credentials: "same-origin" });
    if (answer.status === 401) {
      const said = one("[data-signed-out]");
      if (said) said.hidden = false;
      return null;
    }
    return answer.ok ? await answer.text() : null;
  } catch {
    return null;
  }
}

// Figures that renew themselves, as long as somebody looks at them and uses nothing in them.
for (const shown of all("[data-part]")) {
  setInterval(async () => {
    if (document.hidden || shown.contains(document.activeElement) || one("details[open]", shown)) return;
    const text = await part(location.href, shown.dataset.part);
    const fresh = text && one(`[data-part="${shown.dataset.part}"]`, new DOMParser().parseFromString(text, "text/html"));
    if (fresh) shown.replaceChildren(...fresh.childNodes);
  }, shown.dataset.every * 1000);
}

// Rows: j and k, Enter, Esc, and a panel beside the list.
const table = one("[data-rows]");
const panel = one("[data-panel]");
const rows = () => (table ? all("tbody tr", table) : []);
let chosen = -1;

function choose(number) {
  const there = rows();
  if (!there.length) return;
  there[chosen]?.removeAttribute("aria-selected");
  chosen = Math.max(0, Math.min(there.length - 1, number));
  there[chosen].setAttribute("aria-selected", "true");
  there[chosen].scrollIntoView({ block: "nearest" });
  if (panel && !panel.hidden) open(there[chosen]);
}

async function open(row) {
  const link = one("[data-open]", row);
  if (!link) return;
  if (!panel) return void location.assign(link.href);
  const text = await part(link.href, "panel");
  if (text === null) return void location.assign(link.href);
  panel.innerHTML = text;
  panel.hidden = false;
  offerCopies(panel);
  const heading = one("h2", panel);
  heading?.focus({ preventScroll: true });
  if (panel.getBoundingClientRect().top < 0 || panel.getBoundingClientRect().top > innerHeight / 2) panel.scrollIntoView();
  const here = new URL(location.href);
  here.searchParams.set("panel", row.dataset.id);
  history.replaceState(null, "", here);
}

function close() {
  if (!panel || panel.hidden) return;
  panel.hidden = true;
  rows()[chosen]?.scrollIntoView({ block: "nearest" });
  one("[data-open]", rows()[chosen] ?? document)?.focus();
  const here = new URL(location.href);
  here.searchParams.delete("panel");
  history.replaceState(null, "", here);
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select")) return;
  const keys = { j: () => choose(chosen + 1), k: () => choose(chosen - 1), Escape: close };
  if (event.key === "Enter" && chosen >= 0 && !event.target.closest("a, button, summary")) open(rows()[chosen]);
  else if (event.key === "/" && one("[data-slash]")) one("[data-slash]").focus();
  else if (keys[event.key]) keys[event.key]();
  else return;
  if (event.key !== "Enter") event.preventDefault();
});

table?.addEventListener("click", (event) => {
  const cell = event.target.closest("[data-filter]");
  const link = event.target.closest("[data-open]");
  if (cell && !event.target.closest("a")) {
    const there = new URL(location.href);
    ["cursor", "panel"].forEach((name) => there.searchParams.delete(name));
    there.searchParams.set((event.altKey ? "not." : "") + cell.dataset.filter, cell.textContent.trim());
    location.assign(there);
  } else if ((link || !event.target.closest("a, button, summary, input")) && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
    const row = event.target.closest("tbody tr");
    if (!row || !one("[data-open]", row) || (!panel && !link)) return;
    if (panel) event.preventDefault();
    chosen = rows().indexOf(row);
    choose(chosen);
    open(rows()[chosen]);
  }
});

panel?.addEventListener("click", (event) => {
  if (event.target.closest("[data-close]")) {
    event.preventDefault();
    close();
  }
});

// The live tail. It waits while somebody has scrolled away from its head, and says how much waits.
const live = one("[data-tail]");
const MOST_ROWS = 200;
if (live && table) {
  const said = one("[data-tail-said]");
  let source = null, waiting = [], skipped = 0;
  live.hidden = false;
  const atHead = () => table.getBoundingClientRect().top > -40;
  function say() {
    said.hidden = !source;
    const parts = [live.dataset.on ?? live.textContent];
    if (waiting.length) parts.push(`⏸ +${waiting.length}`);
    if (skipped) parts.push(`≈ +${skipped}`);
    said.textContent = parts.join(" · ");
  }
  function flush() {
    if (!waiting.length || !atHead()) return;
    const body = one("tbody", table);
    table.hidden = false;
    for (const row of waiting) body.prepend(row);
    if (chosen >= 0) chosen += waiting.length;
    waiting = [];
    all("tr", body).slice(MOST_ROWS).forEach((row) => row.remove());
    say();
  }
  function start() {
    source = new EventSource(live.dataset.tail);
    source.addEventListener("row", (event) => {
      const holder = document.createElement("tbody");
      holder.innerHTML = event.data;
      const row = holder.firstElementChild;
      if (!row || one(`[data-id="${row.dataset.id}"]`, table)) return;
      waiting = [...waiting, row].slice(-MOST_ROWS);
      flush();
      say();
    });
    source.addEventListener("skipped", (event) => { skipped += Number(event.data); say(); });
    source.onerror = async () => { if (source.readyState === EventSource.CLOSED && (await part(location.href, "panel")) === null) stop(); };
    live.setAttribute("aria-pressed", "true");
    say();
  }
  function stop() {
    source?.close();
    source = null;
    live.setAttribute("aria-pressed", "false");
    say();
  }
  live.addEventListener("click", () => (source ? stop() : start()));
  addEventListener("scroll", flush, { passive: true });
  addEventListener("pagehide", stop);
}

// Forms: what is typed survives a page that is left; a name is typed to confirm; an undo counts down.
for (const form of all("form[data-draft]")) {
  const name = `draft:${form.dataset.draft}`;
  const fields = all("input:not([type=hidden], [type=password], [type=radio], [type=checkbox], [autocomplete=off]), textarea", form);
  const kept = JSON.parse(sessionStorage.getItem(name) ?? "{}");
  for (const field of fields) if (!field.value && kept[field.name]) field.value = kept[field.name];
  form.addEventListener("input", () => sessionStorage.setItem(name, JSON.stringify(Object.fromEntries(fields.map((field) => [field.name, field.value])))));
  form.addEventListener("submit", () => sessionStorage.removeItem(name));
}
for (const field of all("[data-typed]")) {
  const button = one("button", field.form);
  button.disabled = true;
  field.addEventListener("input", () => { button.disabled = field.value.trim() !== field.dataset.typed; });
}
for (const button of all("[data-countdown]")) {
  const text = button.textContent;
  let left = Number(button.dataset.countdown);
  const timer = setInterval(() => {
    left -= 1;
    button.textContent = `${text} (${left})`;
    if (left <= 0) { clearInterval(timer); button.closest("form").hidden = true; }
  }, 1000);
}
for (const details of all("details[data-wide]")) details.open = matchMedia("(min-width: 60rem)").matches;

function offerCopies(within) {
  for (const button of all("[data-copy]", within)) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(one("code", button.parentElement).textContent);
      button.textContent = button.dataset.copy;
    });
  }
}
offerCopies(main);
