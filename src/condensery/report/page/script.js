"use strict";
// What the page can do beyond being read: another colour scheme, sorted tables, copied commands, enlarged images.

const theme = document.getElementById("theme");
const prefersDark = matchMedia("(prefers-color-scheme: dark)");
const root = document.documentElement;
const isDark = () => (root.dataset.theme || (prefersDark.matches ? "dark" : "light")) === "dark";
const nameTheme = () => { theme.textContent = isDark() ? "Light" : "Dark"; };
theme.hidden = false;
theme.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; nameTheme(); });
prefersDark.addEventListener("change", nameTheme);
nameTheme();

// ---- tables

const sortValue = (row, column) => {
  const cell = row.cells[column];
  return cell.dataset.v === undefined ? cell.textContent : Number(cell.dataset.v);
};
const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));

function sortBy(head) {
  const up = head.getAttribute("aria-sort") !== "ascending";
  const body = head.closest("table").tBodies[0];
  for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  const column = head.cellIndex;
  const rows = [...body.rows].sort((a, b) => compare(sortValue(a, column), sortValue(b, column)) * (up ? 1 : -1));
  body.append(...rows);
}
for (const button of document.querySelectorAll("button.sort")) {
  button.addEventListener("click", () => sortBy(button.parentElement));
}

// ---- boxes that scroll: a fade, and a line below a table, where something is cut off

function hint(box) {
  const right = box.scrollWidth - box.clientWidth, down = box.scrollHeight - box.clientHeight;
  box.classList.toggle("more-right", right - box.scrollLeft > 1);
  box.classList.toggle("more-down", down - box.scrollTop > 1);
  const line = box.nextElementSibling;
  if (line && line.classList.contains("hint")) line.hidden = right <= 1;
}
const watcher = new ResizeObserver((entries) => { for (const entry of entries) hint(entry.target); });
for (const box of document.querySelectorAll(".scroll, nav ul, .rows, .record")) {
  watcher.observe(box);
  box.addEventListener("scroll", () => hint(box), { passive: true });
}

// ---- commands

async function copy(button) {
  const code = button.parentElement.querySelector("code");
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(code); // not allowed to write: select it for the reader to copy
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}
for (const button of document.querySelectorAll("button.copy")) button.addEventListener("click", () => copy(button));

function openTarget() {
  const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target && target.tagName === "DETAILS") {
    target.open = true;
    target.scrollIntoView();
    target.firstElementChild.focus();
  }
}
addEventListener("hashchange", openTarget);
openTarget();

// ---- galleries

const zoom = document.getElementById("zoom");
let shown = null; // { gallery, row, column }

const tiles = (gallery, row) => gallery.querySelectorAll(".row")[row]?.querySelectorAll("i") ?? [];
const before = (gallery) => gallery.querySelector("input[value=before]");
const isBefore = (gallery) => Boolean(before(gallery)?.checked);

function draw() {
  const { gallery, row, column } = shown;
  const tile = tiles(gallery, row)[column];
  const width = Number(gallery.dataset.width), height = Number(gallery.dataset.height);
  const canvas = zoom.querySelector("canvas");
  const scale = Math.max(1, Math.floor(Math.min(384, innerWidth - 60) / Math.max(width, height)));
  const picture = new Image();
  picture.onload = () => {
    canvas.width = width * scale;
    canvas.height = height * scale;
    const pen = canvas.getContext("2d");
    pen.imageSmoothingEnabled = false;
    pen.drawImage(picture, column * (width + 1), row * (height + 1), width, height, 0, 0, canvas.width, canvas.height);
  };
  picture.src = getComputedStyle(tile).backgroundImage.slice(5, -2); // url("...")
  const label = gallery.querySelectorAll(".row")[row].querySelector("b").textContent;
  const when = before(gallery) ? (isBefore(gallery) ? ", before" : ", after condensation") : "";
  document.getElementById("zoom-name").textContent =
    `${label} ${column + 1} of ${tiles(gallery, row).length}${when}`;
  const button = document.getElementById("zoom-when");
  button.hidden = !before(gallery);
  button.setAttribute("aria-pressed", String(isBefore(gallery)));
}

function enlarge(gallery, row, column) {
  shown = { gallery, row, column };
  draw();
  if (!zoom.open) zoom.showModal();
}

function go(rows, columns) {
  const { gallery } = shown;
  const count = gallery.querySelectorAll(".row").length;
  let { row, column } = shown;
  column += columns;
  if (column < 0) { row = (row + count - 1) % count; column = tiles(gallery, row).length - 1; }
  if (column >= tiles(gallery, row).length) { row = (row + 1) % count; column = 0; }
  row = (row + rows + count) % count;
  const last = tiles(gallery, row).length - 1;
  if (last >= 0) enlarge(gallery, row, Math.min(column, last));
}

function switchWhen(gallery) {
  const radio = gallery.querySelector(`input[value=${isBefore(gallery) ? "after" : "before"}]`);
  if (radio) radio.checked = true;
  if (shown) draw();
}

const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

for (const gallery of document.querySelectorAll(".gallery")) {
  const button = gallery.querySelector(".zoom");
  button.hidden = false;
  button.addEventListener("click", () => enlarge(gallery, 0, 0));
  gallery.addEventListener("click", (event) => {
    if (event.target.tagName !== "I") return;
    const row = event.target.closest(".row");
    enlarge(gallery, [...gallery.querySelectorAll(".row")].indexOf(row), [...row.querySelectorAll("i")].indexOf(event.target));
  });
}
if (zoom) {
  zoom.addEventListener("keydown", (event) => {
    if (event.key in STEPS) { event.preventDefault(); go(...STEPS[event.key]); }
    if (event.key === "i" && !event.ctrlKey && !event.metaKey) switchWhen(shown.gallery);
  });
  zoom.addEventListener("click", (event) => { if (event.target === zoom) zoom.close(); });
  for (const button of zoom.querySelectorAll("[data-step]")) {
    button.addEventListener("click", () => go(0, Number(button.dataset.step)));
  }
  document.getElementById("zoom-when").addEventListener("click", () => switchWhen(shown.gallery));
  document.getElementById("zoom-close").addEventListener("click", () => zoom.close());
  zoom.addEventListener("close", () => { shown = null; });
}
