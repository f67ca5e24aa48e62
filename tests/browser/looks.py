"""What is wrong with how a part of the page looks: cut off, out of reach, or hard to read for some."""

from __future__ import annotations

from typing import Any

from tests.browser import lab
from tests.browser.axe import violations

THEMES = ("Light", "Dark")
WIDTHS = (1280, 700)
FAULTS = """async selector => {
  const seen = element => element.checkVisibility({ opacityProperty: true, visibilityProperty: true })
    && element.getBoundingClientRect().width > 0 && !element.closest('.agk-hidden, [hidden], .MathJax, math');
  const name = element => {
    const said = element.getAttribute('aria-label') || element.textContent.trim() || element.className;
    return `${element.tagName.toLowerCase()} “${String(said).slice(0, 60)}”`;
  };
  const has = element => [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
  const faults = new Set();
  for (const root of [...document.querySelectorAll(selector)].filter(seen)) {
    if (root.scrollWidth > root.clientWidth + 1)
      faults.add(`${name(root)} is ${root.scrollWidth} px wide in ${root.clientWidth} px`);
    const controls = [...root.querySelectorAll('button, a[href], input, select, textarea')].filter(seen);
    const told = [...root.querySelectorAll('*')].filter(one => seen(one) && (controls.includes(one) || has(one)));
    for (const element of told) {
      const box = element.getBoundingClientRect();
      for (let around = element; around !== root.parentElement; around = around.parentElement) {
        const style = getComputedStyle(around);
        if (style.textOverflow === 'ellipsis' || style.webkitLineClamp !== 'none') break;
        if (around === element || (around !== root && style.overflowX === 'visible')) continue;
        const edge = around.getBoundingClientRect();
        if (/auto|scroll/.test(style.overflowX)) break;
        if (box.right > edge.right + 1.5 || box.left < edge.left - 1.5) {
          const over = Math.round(Math.max(box.right - edge.right, edge.left - box.left));
          faults.add(`${name(element)} reaches ${over} px out of ${around.className || around.tagName}`);
          break;
        }
      }
    }
    for (const control of controls) {
      control.scrollIntoView({ block: 'nearest', inline: 'nearest' });
      const box = control.getBoundingClientRect();
      const there = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
      const covers = there?.closest('[role=menu], [role=listbox], .agk-latest');
      if (!there || !(covers || control.contains(there) || there.contains(control)))
        faults.add(`${name(control)} is under ${there ? name(there) : 'nothing'}`);
    }
  }
  return [...faults];
}"""
# The side area: half of a narrow page; of a wide one so much that the list and a run stand side by side.
SHARE = """narrow => {
  const find = widget => [...(widget.children?.() ?? [])].reduce((found, child) => found ?? find(child),
    widget.setRelativeSizes && widget.orientation === 'horizontal' ? widget : undefined);
  const split = find(window.jupyterapp.shell);
  split.setRelativeSizes(split.widgets.map((_, place) => place === split.widgets.length - 1 ? (narrow ? 1 : 3) : 1));
}"""
SETTLED = """width => window.innerWidth === width && new Promise(done =>
  requestAnimationFrame(() => requestAnimationFrame(() => done(true))))"""


def resize(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 1000 if width > 1000 else 800})
    page.wait_for_function(SETTLED, arg=width)  # the new width is laid out: only now can it be shared
    page.evaluate(SHARE, width < WIDTHS[0])
    page.wait_for_function(SETTLED, arg=width)


def look(page: Any, name: str, selector: str, widths: tuple[int, ...] = WIDTHS) -> list[str]:
    """Pictures of the page at each width, in the theme it has, and what is wrong in what `selector` finds."""
    found = []
    for width in widths:
        resize(page, width)
        page.screenshot(path=lab.OUTPUT / f"{name}-{width}.png")
        faults = page.evaluate(FAULTS, selector)
        if width == widths[-1]:  # what can be read does not hang on the width
            faults += violations(page, selector)
        found += [f"{name}-{width}: {fault}" for fault in faults]
    resize(page, WIDTHS[0])
    return found
