// Put into a copy of a page by test_browser.py: uses the page as a reader would and tells what it found.
(async () => {
  const pause = (ms) => new Promise((done) => setTimeout(done, ms));
  const findings = {};
  const press = (target, key) => target.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
  const find = (selector) => document.querySelector(selector);
  const name = () => document.getElementById("zoom-name").textContent;
  const background = () => getComputedStyle(document.body).backgroundColor;

  const folded = [...document.querySelectorAll("details:not([open])")];
  findings.layout = await layout();
  for (const one of folded) one.open = false;

  findings.colours = [background()];
  find("#theme").click();
  findings.colours.push(background());
  findings.theme = find("#theme").textContent;
  find("#theme").click();
  findings.colours.push(background());

  const column = () => [...document.querySelectorAll("#accuracy tbody tr")].map((row) => Number(row.querySelectorAll("[data-v]")[1].dataset.v));
  const heads = [...document.querySelectorAll("#accuracy th")];
  const accuracy = heads.find((head) => head.textContent === "Accuracy, %");
  accuracy.firstElementChild.click();
  findings.sort = [accuracy.getAttribute("aria-sort"), column()];
  accuracy.firstElementChild.click();
  findings.reverse = [accuracy.getAttribute("aria-sort"), column()];

  location.hash = "#m1";
  await pause(50);
  findings.opened = find("#m1").open;

  const unreachable = [...document.querySelectorAll("a[href], button, input, summary")].filter((e) => e.tabIndex < 0);
  findings.unreachable = unreachable.map((e) => e.outerHTML.slice(0, 80));
  find("#theme").focus({ focusVisible: true });
  findings.outline = getComputedStyle(find("#theme")).outlineStyle;

  const gallery = find(".gallery");
  const dialog = find("#zoom");
  gallery.querySelector(".zoom").click();
  findings.zoom = [dialog.open, name()];
  const canvas = dialog.querySelector("canvas");
  const copy = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const pixel = async () => {
    await pause(100);
    copy.drawImage(canvas, 0, 0);
    return [...copy.getImageData(3, 3, 1, 1).data.slice(0, 3)];
  };
  findings.after = await pixel();
  press(dialog, "i");
  findings.before = await pixel();
  findings.beforeName = name();
  press(dialog, "i");
  press(dialog, "ArrowRight");
  findings.right = name();
  press(dialog, "ArrowUp");
  findings.up = name();
  press(dialog, "ArrowLeft");
  findings.left = name();
  document.getElementById("zoom-close").click();
  findings.closed = !dialog.open;

  findings.resources = performance.getEntriesByType("resource").map((e) => e.name.slice(0, 60)).filter((n) => !n.startsWith("data:"));
  findings.problems = window.problems;
  parent.postMessage({ frame: window.name, findings }, "*");
})().catch((error) => parent.postMessage({ frame: window.name, findings: { failed: String(error.stack) } }, "*"));
