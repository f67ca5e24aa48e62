"""What keeps people from reading or reaching something, as axe-core finds it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
RUN = """async selector => {
  const { violations } = await axe.run(selector, { resultTypes: ['violations'] });
  return violations.filter(fault => ['serious', 'critical'].includes(fault.impact))
    .map(fault => `${fault.id}: ${fault.nodes.slice(0, 3).map(node => node.html.slice(0, 160)).join(' | ')}`);
}"""


def violations(page: Any, selector: str) -> list[str]:
    """Serious and critical faults below `selector`, each with its first places."""
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(AXE.read_text())
    found: list[str] = page.evaluate(RUN, selector)
    return found
