"use strict";
// What is chosen (section, filters, order, size, example) stands in the address after "#", and nowhere else.
document.documentElement.classList.add("script");
const gallery = JSON.parse(document.getElementById("gallery").textContent);
const element = (id) => document.getElementById(id);
const view = element("view"), space = element("space"), detail = element("detail");
const [GAP, CAPTION, MARGIN] = [6, 18, 4]; // pixels
const filters = gallery.columns.filter((column) => !column.measure && column.names.length > 1);
const FIRST = { section: document.querySelector("main section").id, size: String(firstSize()) };
for (const column of filters) if (column.chosen) FIRST["is " + column.head] = column.chosen;

let order = []; // numbers of the examples that are shown, in their order
let shownFor = null; // the filters and order that `order` is of

function firstSize() {
  return Math.min(224, Math.max(56, gallery.width));
}

// The address.

function chosen() {
  return { ...FIRST, ...Object.fromEntries(new URLSearchParams(location.hash.slice(1))) };
}

function choose(changes, push = false) {
  const all = { ...chosen(), ...changes };
  const usual = (key, value) => value === (FIRST[key] ?? (key.startsWith("is ") ? "*" : ""));
  const address = "#" + new URLSearchParams(Object.entries(all).filter(([key, value]) => !usual(key, value)));
  if (push) history.pushState(null, "", address);
  else history.replaceState(null, "", address);
  show();
}

// What is told of an example.

function text(column, number) {
  const value = column.values[number];
  return column.measure ? value : column.names[value];
}

function caption(number) {
  return gallery.columns.filter((column) => column.caption).map((column) => text(column, number)).join(" \u2192 ");
}

function summary(number) {
  return gallery.columns.map((column) => `${column.head} ${text(column, number)}`).join(", ");
}

// Blocks: sheets of images, and records; unpacked when they are first needed.

const bytes = (id) => Uint8Array.from(atob(element(id).textContent), (letter) => letter.charCodeAt(0));
const sheets = new Map();

function sheet(image, block) {
  const key = `sheet${image}-${block}`;
  if (!sheets.has(key)) sheets.set(key, URL.createObjectURL(new Blob([bytes(key)], { type: "image/png" })));
  return sheets.get(key);
}

async function record(number) {
  const stream = new Blob([bytes(`records-${Math.floor(number / gallery.block)}`)]).stream();
  const unpacked = await new Response(stream.pipeThrough(new DecompressionStream("gzip"))).json();
  return unpacked[number % gallery.block];
}

function sprite(number, image, width) {
  const block = Math.floor(number / gallery.block), place = number % gallery.block, across = gallery.across[block];
  const height = Math.round((width * gallery.height) / gallery.width), box = document.createElement("span");
  box.className = "sprite";
  box.style.width = `${width}px`;
  box.style.height = `${height}px`;
  box.style.backgroundImage = `url(${sheet(image, block)})`;
  box.style.backgroundSize = `${across * width}px auto`;
  box.style.backgroundPosition = `${-(place % across) * width}px ${-Math.floor(place / across) * height}px`;
  return box;
}

// The gallery: only the tiles in sight are there.

function arrange(now) {
  const wanted = JSON.stringify([now.sort, now.down, ...filters.map((column) => now["is " + column.head] ?? "")]);
  if (wanted === shownFor) return;
  shownFor = wanted;
  const tests = filters
    .filter((column) => now["is " + column.head] && now["is " + column.head] !== "*")
    .map((column) => [column.values, column.names.indexOf(now["is " + column.head])]);
  order = [...gallery.ids.keys()].filter((number) => tests.every(([values, name]) => values[number] === name));
  const by = gallery.columns.find((column) => column.head === now.sort);
  if (by) {
    const keys = by.measure ? by.values.map((value) => parseFloat(value)) : ranks(by);
    const sign = now.down ? -1 : 1, last = sign * Infinity; // what has no number comes last
    const key = (number) => (Number.isNaN(keys[number]) ? last : keys[number]);
    order.sort((one, other) => sign * (key(one) - key(other)) || one - other);
  }
  view.scrollTop = 0;
}

function ranks(column) {
  const sorted = [...column.names].sort(new Intl.Collator("en", { numeric: true }).compare);
  return column.values.map((value) => sorted.indexOf(column.names[value]));
}

function layout() {
  const width = Number(chosen().size), height = Math.round((width * gallery.height) / gallery.width);
  const across = gallery.images * (width + 2) + 2 * MARGIN + GAP, down = height + CAPTION + 2 * MARGIN + GAP;
  return { width, across, down, columns: Math.max(1, Math.floor((view.clientWidth - GAP) / across)) };
}

function draw(most = 0) {
  const { width, across, down, columns } = layout();
  space.style.height = `${Math.ceil(order.length / columns) * down + GAP}px`;
  const first = Math.max(0, Math.floor(view.scrollTop / down) - 1) * columns;
  const end = first + (most || (Math.ceil(view.clientHeight / down) + 3) * columns);
  const focused = space.contains(document.activeElement) ? Number(document.activeElement.dataset.place) : -1;
  const tiles = order.slice(first, end).map((number, offset) => tile(number, first + offset, width, across, down, columns));
  space.replaceChildren(...tiles);
  if (focused >= 0) space.querySelector(`[data-place="${focused}"]`)?.focus({ preventScroll: true });
}

function tile(number, place, width, across, down, columns) {
  const button = document.createElement("button"), pair = document.createElement("span"), below = document.createElement("span");
  button.type = "button";
  button.className = "tile";
  button.role = "option";
  button.tabIndex = -1;
  button.dataset.place = place;
  button.title = summary(number);
  button.setAttribute("aria-label", summary(number));
  button.style.left = `${GAP + (place % columns) * across}px`;
  button.style.top = `${GAP + Math.floor(place / columns) * down}px`;
  button.style.width = `${across - GAP}px`;
  pair.className = "pair";
  for (let image = 0; image < gallery.images; image++) pair.append(sprite(number, image, width));
  below.className = "caption";
  below.textContent = caption(number);
  button.append(pair, below);
  return button;
}

function focusOn(place) {
  const { down, columns } = layout(), at = Math.min(Math.max(place, 0), order.length - 1), top = Math.floor(at / columns) * down;
  if (top < view.scrollTop) view.scrollTop = top;
  if (top + down > view.scrollTop + view.clientHeight) view.scrollTop = top + down - view.clientHeight;
  draw();
  space.querySelector(`[data-place="${at}"]`)?.focus({ preventScroll: true });
}

// One example.

async function open(id) {
  const number = gallery.ids.indexOf(id);
  if (number < 0) return;
  if (!detail.open) detail.showModal();
  if (detail.dataset.id === id) return;
  detail.dataset.id = id;
  element("detail-title").textContent = caption(number);
  element("detail-summary").textContent = summary(number);
  element("command").textContent = gallery.command.replace("{id}", id);
  const names = gallery.images > 1 ? ["original", "changed"] : ["image"];
  const room = Math.floor((detail.clientWidth - 36) / gallery.images) - 16;
  const width = Math.min(room, gallery.width * Math.max(1, Math.floor(280 / gallery.width)));
  element("images").replaceChildren(
    ...names.map((name, image) => {
      const figure = document.createElement("figure"), under = document.createElement("figcaption"), box = sprite(number, image, width);
      box.style.display = "block";
      box.role = "img";
      box.ariaLabel = `${name}: ${summary(number)}`;
      under.textContent = name;
      figure.append(box, under);
      return figure;
    }),
  );
  const told = await record(number).catch(() => [["record", "this browser cannot unpack it; `peerpressure show` tells"]]);
  if (detail.dataset.id !== id) return;
  element("record").replaceChildren(
    ...told.map(([name, value]) => {
      const row = document.createElement("tr"), head = document.createElement("th"), cell = document.createElement("td");
      head.scope = "row";
      head.textContent = name;
      cell.textContent = value;
      row.append(head, cell);
      return row;
    }),
  );
}

function step(by) {
  const place = order.indexOf(gallery.ids.indexOf(chosen().id)) + by;
  if (place >= 0 && place < order.length) choose({ id: gallery.ids[order[place]] });
}

// All of it.

function show() {
  const now = chosen();
  for (const section of document.querySelectorAll("main section")) section.hidden = section.id !== now.section;
  for (const link of document.querySelectorAll("nav a")) {
    const here = { ...Object.fromEntries(new URLSearchParams(location.hash.slice(1))), section: link.dataset.section };
    delete here.id;
    link.href = "#" + new URLSearchParams(here);
    if (link.dataset.section === now.section) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  for (const column of filters) element(`is ${column.head}`).value = now["is " + column.head] || "*";
  element("sort").value = now.sort ?? "";
  element("down").checked = Boolean(now.down);
  element("size").value = now.size;
  arrange(now);
  element("count").textContent = `${order.length.toLocaleString("en")} of ${gallery.ids.length.toLocaleString("en")}`;
  if (now.section === "examples") draw();
  if (now.id) open(now.id);
  else if (detail.open) detail.close();
}

function option(value, name) {
  const made = document.createElement("option");
  [made.value, made.textContent] = [value, name];
  return made;
}

function chooser(column) {
  const label = document.createElement("label"), select = document.createElement("select");
  select.id = `is ${column.head}`;
  const names = [...column.names].sort(new Intl.Collator("en", { numeric: true }).compare);
  select.append(option("*", "all"), ...names.map((name) => option(name, name)));
  select.addEventListener("change", () => choose({ ["is " + column.head]: select.value }));
  label.append(column.head, " ", select);
  return label;
}

element("filters").append(...filters.map(chooser));
element("sort").append(option("", "as stored"), ...gallery.columns.map((column) => option(column.head, column.head)));
element("sort").addEventListener("change", (event) => choose({ sort: event.target.value }));
element("down").addEventListener("change", (event) => choose({ down: event.target.checked ? "1" : "" }));
element("size").addEventListener("input", (event) => choose({ size: event.target.value }));
element("controls").addEventListener("reset", (event) => {
  event.preventDefault();
  const all = Object.fromEntries(filters.map((column) => ["is " + column.head, "*"]));
  choose({ ...all, sort: "", down: "", size: FIRST.size });
});
element("controls").addEventListener("submit", (event) => event.preventDefault());
view.addEventListener("scroll", () => requestAnimationFrame(() => draw()), { passive: true });
space.addEventListener("click", (event) => {
  const place = event.target.closest(".tile")?.dataset.place;
  if (place !== undefined) choose({ id: gallery.ids[order[place]] }, true);
});
view.addEventListener("keydown", (event) => {
  const { columns } = layout(), at = space.contains(document.activeElement) ? Number(document.activeElement.dataset.place) : -1;
  const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns };
  const place = { Home: 0, End: order.length - 1 }[event.key] ?? (event.key in steps ? (at < 0 ? 0 : at + steps[event.key]) : null);
  if (place === null) return;
  event.preventDefault();
  focusOn(place);
});
detail.addEventListener("close", () => {
  const place = order.indexOf(gallery.ids.indexOf(detail.dataset.id));
  delete detail.dataset.id;
  if (chosen().id) choose({ id: "" });
  if (place >= 0) focusOn(place);
});
detail.addEventListener("keydown", (event) => {
  if (event.key === "ArrowRight") step(1);
  if (event.key === "ArrowLeft") step(-1);
});
detail.addEventListener("click", (event) => event.target === detail && detail.close());
element("close").addEventListener("click", () => detail.close());
element("before").addEventListener("click", () => step(-1));
element("after").addEventListener("click", () => step(1));
document.addEventListener("click", (event) => {
  if (!event.target.classList.contains("copy")) return;
  const command = event.target.previousElementSibling;
  getSelection().selectAllChildren(command);
  navigator.clipboard?.writeText(command.textContent);
  event.target.textContent = "Copied";
});
addEventListener("hashchange", show);
addEventListener("popstate", show);
addEventListener("resize", () => chosen().section === "examples" && draw());
addEventListener("beforeprint", () => draw(400));
show();
