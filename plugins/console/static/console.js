// The script of the console: Airflow's colour mode, links out of the frame, live progress, the table of artifacts, curves.
"use strict";

// -- colour mode: the mode that Airflow has stored, else the mode of the system --------------------------------
const dark = matchMedia("(prefers-color-scheme: dark)");

function paint() {
  let chosen = null;
  try { chosen = localStorage.getItem("theme"); } catch { /* no access to the storage: use the mode of the system */ }
  const mode = chosen === "dark" || chosen === "light" ? chosen : dark.matches ? "dark" : "light";
  document.documentElement.dataset.theme = mode;
}

paint();
dark.addEventListener("change", paint);
addEventListener("storage", paint);

// -- links to Airflow: the frame may not navigate Airflow's page, but a link inside that page may ---------------------------------
function around() {
  try { return parent !== window && parent.location.origin === location.origin ? parent : null; } catch { return null; }
}

function openInAirflow(address) {
  const link = parent.document.createElement("a");
  link.href = address;
  link.hidden = true;
  parent.document.body.append(link);
  link.click();
  link.remove();
}

addEventListener("click", (event) => {
  if (event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  const link = event.target.closest("a[href]");
  if (!link) return;
  if (link.hasAttribute("data-airflow") && around()) {
    event.preventDefault();
    openInAirflow(link.href);
  } else if (link.hasAttribute("data-home") && around() && !parent.location.pathname.includes("/plugin/federations")) {
    event.preventDefault();
    openInAirflow(`${new URL(parent.document.baseURI).pathname}plugin/federations`);
  } else if (link.hasAttribute("data-part")) {
    event.preventDefault();
    turn(new URL(link.href).searchParams, link.textContent);
  }
});

// -- the table of artifacts ------------------------------------------------------------------------------------------------
async function turn(query, from) {
  const section = document.querySelector("[data-artifacts]");
  section.setAttribute("aria-busy", "true");
  const answer = await fetch(`${section.dataset.artifacts}?${query}`, { credentials: "same-origin" }).catch(() => null);
  section.removeAttribute("aria-busy");
  if (!answer || !answer.ok) {
    location.search = `?${query}`;
    return;
  }
  section.innerHTML = await answer.text();
  history.replaceState(null, "", `?${query}#artifacts`);
  const again = [...section.querySelectorAll("a[data-part]")].find((link) => link.textContent === from);
  (again ?? section.querySelector("select")).focus({ preventScroll: true });
  if (section.getBoundingClientRect().top < 0) section.scrollIntoView();
}

addEventListener("submit", (event) => {
  if (!event.target.matches("[data-filters]")) return;
  event.preventDefault();
  turn(new URLSearchParams(new FormData(event.target)), "");
});

addEventListener("change", (event) => {
  const form = event.target.closest("[data-filters]");
  if (form) turn(new URLSearchParams(new FormData(form)), "");
});

// -- live progress: fetched again; a section is replaced only if it has changed, so that nothing flickers ----------------------------------
const EVERY = 3000;

async function follow() {
  const live = document.getElementById("live");
  if (!live || live.dataset.live !== "yes") return;
  const answer = document.hidden ? null : await fetch(live.dataset.address, { credentials: "same-origin" }).catch(() => null);
  if (answer && (answer.status === 401 || answer.status === 403)) return;
  if (answer && answer.ok) {
    const made = document.createElement("template");
    made.innerHTML = await answer.text();
    const fresh = made.content.getElementById("live");
    if (fresh.dataset.live !== "yes") {
      location.reload();
      return;
    }
    exchange(live, fresh);
  }
  setTimeout(follow, EVERY);
}

function exchange(live, fresh) {
  const before = [...live.querySelectorAll("section")], after = [...fresh.querySelectorAll("section")];
  before.forEach((section, at) => {
    const busy = section.contains(document.activeElement) || section.querySelector("details[open]");
    if (!busy && after[at] && section.innerHTML !== after[at].innerHTML) section.replaceWith(after[at]);
  });
}

addEventListener("DOMContentLoaded", () => setTimeout(follow, EVERY));

// -- curves: show the point that is nearest to the pointer, or that the arrow keys have reached -----------------------------------
function show(curve, dot) {
  curve.querySelectorAll(".at").forEach((shown) => shown.classList.remove("at"));
  dot.classList.add("at");
  curve.closest("section").querySelector(".readout").textContent = dot.textContent;
}

addEventListener("pointermove", (event) => {
  const curve = event.target.closest?.("[data-curve]");
  if (!curve) return;
  const box = curve.getBoundingClientRect(), x = ((event.clientX - box.left) / box.width) * curve.viewBox.baseVal.width;
  const away = (dot) => Math.abs(dot.cx.baseVal.value - x);
  show(curve, [...curve.querySelectorAll(".dot")].reduce((best, dot) => (away(dot) < away(best) ? dot : best)));
});

addEventListener("keydown", (event) => {
  const curve = event.target.closest?.("[data-curve]");
  const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
  if (!curve || step === undefined) return;
  event.preventDefault();
  const dots = [...curve.querySelectorAll(".dot")], now = dots.findIndex((dot) => dot.classList.contains("at"));
  const from = now < 0 ? dots.length - 1 : now;
  show(curve, dots[Math.min(dots.length - 1, Math.max(0, from + step))]);
});
