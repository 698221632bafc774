// Put into a copy of a page by test_browser.py: what a reader of this width sees, and what is cut off.
async function layout() {
  const cutBy = (e) => { // the box that hides the right end of an element, or the window; null if nothing does
    const { left, right } = e.getBoundingClientRect();
    for (let box = e.parentElement; box && box !== document.body; box = box.parentElement) {
      const edge = box.getBoundingClientRect();
      const hides = getComputedStyle(box).overflowX !== "visible" && !(box instanceof SVGElement);
      if (hides && (right > edge.right + 1 || left < edge.left - 1)) return box;
    }
    return right > innerWidth + 1 || left < -1 ? document.documentElement : null;
  };
  const hasText = (e) => [...e.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
  const isShown = (e) => e.getClientRects().length > 0;

  for (const folded of document.querySelectorAll("details")) folded.open = true;
  await new Promise((done) => setTimeout(done, 200)); // sizes are observed
  const texts = [...document.querySelectorAll("body *")].filter((e) => isShown(e) && (hasText(e) || e.matches(".gallery i, svg")));
  const cut = texts.map((e) => [e, cutBy(e)]).filter(([, box]) => box);
  const silent = cut.filter(([, box]) => !box.classList.contains("more-right"));
  const unseen = (selector) => [...document.querySelectorAll(selector)].filter((e) => !isShown(e) || cutBy(e)).length;
  const wide = [...document.querySelectorAll(".scroll")].filter((box) => box.scrollWidth > box.clientWidth + 1);
  const hints = wide.map((box) => box.nextElementSibling).filter((line) => line.matches(".hint") && isShown(line));
  return {
    width: [document.documentElement.scrollWidth, document.documentElement.clientWidth],
    texts: texts.length,
    cut: silent.map(([e]) => e.outerHTML.slice(0, 80)),
    tallestHead: Math.max(...[...document.querySelectorAll(".sort")].map((e) => e.getBoundingClientRect().height)),
    accuracies: document.querySelectorAll("#accuracy td.main").length,
    unseenAccuracies: unseen("#accuracy td.main"),
    heat: document.querySelectorAll(".heat td.cell").length,
    unseenHeat: unseen(".heat td.cell"),
    scrolling: wide.length,
    hints: hints.length,
    resources: performance.getEntriesByType("resource").map((e) => e.name.slice(0, 60)).filter((name) => !name.startsWith("data:")),
    problems: window.problems,
  };
}
