(() => {
  // What is asked of a page: read it as text, find an element, fill a field. Runs in a world of its own in each page.
  const numbers = [];
  const known = new WeakMap();
  const SKIP = new Set(['SCRIPT', 'STYLE', 'NOSCRIPT', 'TEMPLATE', 'HEAD', 'META', 'LINK', 'OBJECT', 'EMBED', 'CANVAS', 'VIDEO', 'AUDIO', 'SVG']);
  const BLOCK = new Set(['P', 'DIV', 'SECTION', 'ARTICLE', 'HEADER', 'FOOTER', 'MAIN', 'NAV', 'ASIDE', 'FORM', 'FIELDSET', 'FIGURE',
    'UL', 'OL', 'DL', 'DT', 'DD', 'TABLE', 'BLOCKQUOTE', 'PRE', 'DETAILS', 'DIALOG', 'ADDRESS', 'HR']);
  const ROLES = new Set(['button', 'link', 'tab', 'menuitem', 'menuitemcheckbox', 'menuitemradio', 'option', 'switch', 'checkbox',
    'radio', 'combobox', 'textbox', 'searchbox', 'slider', 'spinbutton', 'treeitem']);
  const MOST = 400_000, MOST_OPTIONS = 12;

  const squeeze = text => text.replace(/\s+/g, ' ').trim();
  const short = (text, most = 80) => (text.length > most ? text.slice(0, most - 1) + '…' : text);
  /** Fields that are transparent (drawn by what lies over them) can be used; text that is cannot be read. */
  const isShown = (element, opaque = false) => {
    try {
      return element.checkVisibility({ visibilityProperty: true, opacityProperty: opaque });
    } catch {
      return true;
    }
  };
  const inner = element => {
    try {
      return element.contentDocument?.body ?? null;
    } catch {
      return null;
    }
  };
  const childrenOf = node => {
    if (node.shadowRoot) return node.shadowRoot.childNodes;
    if (node.tagName === 'SLOT' && node.assignedNodes().length) return node.assignedNodes();
    return node.childNodes;
  };
  const number = element => {
    if (!known.has(element)) {
      numbers.push(new WeakRef(element));
      known.set(element, numbers.length);
    }
    return known.get(element);
  };

  function kindOf(element) {
    const role = element.getAttribute('role');
    switch (element.tagName) {
      case 'A': return element.hasAttribute('href') ? 'link' : role && ROLES.has(role) ? role : '';
      case 'BUTTON': return role && ROLES.has(role) ? role : 'button';
      case 'SUMMARY': return 'button';
      case 'SELECT': return 'select';
      case 'TEXTAREA': return 'textbox';
      case 'INPUT': {
        const kinds = { hidden: '', button: 'button', submit: 'button', reset: 'button', image: 'button', checkbox: 'checkbox', radio: 'radio', file: 'file', range: 'slider' };
        return kinds[element.type] ?? 'textbox';
      }
    }
    if (role && ROLES.has(role)) return role;
    if (element.isContentEditable && !element.parentElement?.isContentEditable) return 'textbox';
    if (element.hasAttribute('onclick')) return 'clickable';
    return '';
  }

  function nameOf(element) {
    const by = element.getAttribute('aria-labelledby');
    const named = by && by.split(/\s+/).map(id => element.getRootNode().getElementById?.(id)?.textContent ?? '').join(' ');
    const label = element.labels?.[0]?.innerText;
    const text = ['INPUT', 'SELECT', 'TEXTAREA'].includes(element.tagName) ? '' : element.innerText || element.textContent;
    const value = ['button', 'submit', 'reset'].includes(element.type) && element.tagName === 'INPUT' ? element.value || element.type : '';
    const image = element.querySelector?.('img[alt]')?.alt ?? '';
    return short(squeeze(element.getAttribute('aria-label') || named || label || text || value || element.placeholder ||
      element.title || image || element.getAttribute('name') || element.id || ''));
  }

  function described(element) {
    const kind = kindOf(element) || element.tagName.toLowerCase();
    const states = [];
    if (element.disabled || element.getAttribute('aria-disabled') === 'true') states.push('disabled');
    if (element.checked || element.getAttribute('aria-checked') === 'true') states.push('checked');
    if (element.getAttribute('aria-expanded')) states.push(element.getAttribute('aria-expanded') === 'true' ? 'open' : 'closed');
    if (element.getAttribute('aria-selected') === 'true') states.push('selected');
    if (element.required) states.push('required');
    let value = '';
    if (kind === 'textbox' || kind === 'slider') {
      const said = element.type === 'password' ? '•'.repeat(Math.min(8, element.value.length)) : element.value ?? squeeze(element.innerText ?? '');
      value = said ? ` = ${JSON.stringify(short(said, 200))}` : '';
    } else if (kind === 'select') {
      const options = [...element.options].map(option => short(squeeze(option.label), 40));
      const more = options.length > MOST_OPTIONS ? ` … (${options.length} in all)` : '';
      value = ` = ${JSON.stringify(squeeze(element.selectedOptions[0]?.label ?? ''))} of: ${options.slice(0, MOST_OPTIONS).join(' | ')}${more}`;
    }
    return `[${number(element)}] ${kind} ${JSON.stringify(nameOf(element))}${value}${states.length ? ` (${states.join(', ')})` : ''}`;
  }

  function address(element) {
    const raw = element.getAttribute('href') ?? '';
    try {
      const url = new URL(raw, element.baseURI);
      const base = new URL(element.baseURI);
      return short(url.origin === base.origin && url.origin !== 'null' ? url.pathname + url.search + url.hash : url.href, 300);
    } catch {
      return short(raw, 300);
    }
  }

  // -- reading -------------------------------------------------------------------------------------------

  class Writer {
    text = '';
    indent = '';
    write(words) {
      if (!words) return;
      if (/\n$/.test(this.text) || !this.text) {
        words = words.replace(/^ +/, '');
        if (words) words = this.indent + words;
      } else if (/ $/.test(this.text)) {
        words = words.replace(/^ +/, '');
      }
      this.text += words;
    }
    line(blank = false) {
      const ends = /\n*$/.exec(this.text)[0].length;
      if (this.text) this.text = this.text.replace(/ +$/, '') + '\n'.repeat(Math.max(0, (blank ? 2 : 1) - ends));
    }
  }

  function read(root) {
    const out = new Writer();
    walk(root, out, 0);
    return out.text.replace(/\n{3,}/g, '\n\n').trim();
  }

  /** What stands in it, on one line. */
  function inline(node) {
    return squeeze([...childrenOf(node)].map(child => read(child)).join(' '));
  }

  function walk(node, out, depth) {
    if (out.text.length > MOST || depth > 400) return;
    if (node.nodeType === 3) {
      out.write(node.data.replace(/\s+/g, ' '));
      return;
    }
    if (node.nodeType === 11 || node.nodeType === 9) {
      for (const child of node.childNodes) walk(child, out, depth + 1);
      return;
    }
    if (node.nodeType !== 1) return;
    const tag = node.tagName.toUpperCase();
    if (SKIP.has(tag) || (node !== document.body && !isShown(node, !kindOf(node)) && getComputedStyle(node).display !== 'contents')) return;
    const into = () => {
      for (const child of childrenOf(node)) walk(child, out, depth + 1);
    };
    const heading = /^H([1-6])$/.exec(tag);
    const kind = kindOf(node);
    if (heading) {
      out.line(true);
      const words = kind ? described(node) : inline(node);
      if (words) out.write('#'.repeat(+heading[1]) + ' ' + words);
      out.line(true);
    } else if (kind === 'link') {
      const words = inline(node) || nameOf(node);
      if (words) out.write(`[${number(node)}][${short(words, 200)}](${address(node)})`);
    } else if (kind === 'clickable') {
      out.write(`[${number(node)}]`);
      into();
    } else if (kind) {
      out.write(` ${described(node)} `);
    } else if (tag === 'BR') {
      out.line();
    } else if (tag === 'HR') {
      out.line(true);
      out.write('---');
      out.line(true);
    } else if (tag === 'IMG') {
      if (node.alt) out.write(`![${short(squeeze(node.alt), 200)}]`);
    } else if (tag === 'PRE') {
      out.line(true);
      out.text += '```\n' + node.innerText.replace(/\n$/, '') + '\n```';
      out.line(true);
    } else if (tag === 'CODE') {
      out.write('`' + squeeze(node.innerText) + '`');
    } else if (tag === 'LI') {
      out.line();
      const list = node.parentElement;
      out.write(list?.tagName === 'OL' ? `${[...list.children].indexOf(node) + (list.start || 1)}. ` : '- ');
      const before = out.indent;
      out.indent += '  ';
      into();
      out.indent = before;
      out.line();
    } else if (tag === 'TABLE') {
      table(node, out);
    } else if (tag === 'IFRAME' || tag === 'FRAME') {
      const body = inner(node);
      out.line(true);
      out.write(`(frame ${short(squeeze(node.title || node.name || node.src || ''), 120)}${body ? '' : ': cannot be read'})`);
      out.line(true);
      if (body) walk(body, out, depth + 1);
      out.line(true);
    } else if (BLOCK.has(tag) || !/^(inline|contents|none|ruby)/.test(getComputedStyle(node).display)) {
      out.line(/^(P|UL|OL|DL|BLOCKQUOTE|SECTION|ARTICLE|FORM|FIELDSET|MAIN|NAV)$/.test(tag));
      if (tag === 'BLOCKQUOTE') out.write('> ');
      into();
      out.line(/^(P|UL|OL|DL|BLOCKQUOTE|SECTION|ARTICLE|FORM|FIELDSET|MAIN|NAV)$/.test(tag));
    } else {
      into();
    }
  }

  function table(node, out) {
    out.line(true);
    const rows = [...node.rows].filter(row => row.closest('table') === node);
    rows.forEach((row, index) => {
      const cells = [...row.cells].map(cell => inline(cell).replace(/\|/g, '\\|'));
      out.write(`| ${cells.join(' | ')} |`);
      out.line();
      if (index === 0 && rows.length > 1) {
        out.write(`|${cells.map(() => '---').join('|')}|`);
        out.line();
      }
    });
    out.line(true);
  }

  // -- finding -------------------------------------------------------------------------------------------

  function roots() {
    const found = [], waiting = [document];
    while (waiting.length && found.length < 500) {
      const root = waiting.shift();
      found.push(root);
      for (const element of root.querySelectorAll('*')) {
        if (element.shadowRoot) waiting.push(element.shadowRoot);
        if (element.tagName === 'IFRAME' || element.tagName === 'FRAME') {
          const body = inner(element);
          if (body) waiting.push(body.ownerDocument);
        }
      }
    }
    return found;
  }

  const everything = css => roots().flatMap(root => [...root.querySelectorAll(css)]);
  const interactive = () => everything('a[href], button, input, select, textarea, summary, [role], [contenteditable], [onclick]').filter(element => kindOf(element) && isShown(element));

  function withText(elements, wanted) {
    const words = squeeze(wanted).toLowerCase();
    const exact = elements.filter(element => nameOf(element).toLowerCase() === words);
    return exact.length ? exact : elements.filter(element => squeeze(element.innerText ?? element.value ?? '').toLowerCase().includes(words) || nameOf(element).toLowerCase().includes(words));
  }

  function byText(wanted) {
    const found = withText(interactive(), wanted);
    if (found.length) return found;
    const words = squeeze(wanted).toLowerCase();
    const all = everything('body *').filter(element => !SKIP.has(element.tagName) && squeeze(element.innerText ?? '').toLowerCase().includes(words));
    return all.filter(element => !all.some(other => other !== element && element.contains(other))); // the innermost
  }

  function matching(selector) {
    const wanted = selector.trim();
    const numbered = /^\[?(\d+)\]?$/.exec(wanted);
    if (numbered) {
      const element = numbers[+numbered[1] - 1]?.deref();
      return { found: element?.isConnected ? [element] : [], stale: true };
    }
    const text = /^text\s*=\s*(.+)$/s.exec(wanted);
    if (text) return { found: byText(text[1].replace(/^(["'])(.*)\1$/s, '$2')) };
    const having = /^(.*?):(?:has-text|contains|text)\(\s*(["'])(.*)\2\s*\)$/s.exec(wanted);
    try {
      return { found: having ? withText(everything(having[1] || '*'), having[3]) : everything(wanted) };
    } catch {
      const found = byText(wanted);
      return found.length ? { found } : { found: [], invalid: true };
    }
  }

  function candidates(selector) {
    const words = new Set(selector.toLowerCase().split(/[^\p{L}\p{N}]+/u).filter(word => word.length > 2));
    const score = element => {
      const about = [described(element), element.id, element.className, element.getAttribute('name'), element.type].join(' ').toLowerCase();
      return [...words].filter(word => about.includes(word)).length;
    };
    const all = interactive();
    const ranked = all.map((element, index) => ({ element, index, score: score(element) })).sort((a, b) => b.score - a.score || a.index - b.index);
    const lines = ranked.slice(0, 12).map(one => described(one.element));
    return lines.length ? `The page has:\n${lines.join('\n')}${all.length > 12 ? `\n… and ${all.length - 12} more; browser_extract shows all.` : ''}` : 'The page has nothing to click or fill.';
  }

  function pick(selector) {
    const { found, stale, invalid } = matching(selector);
    if (invalid) return { problem: `${short(selector, 120)} is not a CSS selector. ${candidates(selector)}`, final: true };
    const shown = found.filter(isShown);
    if (!shown.length) {
      const why = found.length ? 'is there but hidden' : stale ? 'is no longer on the page' : 'matches nothing';
      return { problem: `${short(selector, 120)} ${why}. ${candidates(selector)}` };
    }
    return { element: shown[0], matches: shown.length };
  }

  /** Where frames stand in the window. */
  function offset(element) {
    let x = 0, y = 0;
    for (let view = element.ownerDocument.defaultView; view && view !== window; ) {
      const frame = view.frameElement;
      if (!frame) break;
      const box = frame.getBoundingClientRect();
      x += box.left + frame.clientLeft;
      y += box.top + frame.clientTop;
      view = frame.ownerDocument.defaultView;
    }
    return { x, y };
  }

  function point({ selector }) {
    const picked = pick(selector);
    if (picked.problem) return picked;
    const { element, matches } = picked;
    element.scrollIntoView({ block: 'center', inline: 'center', behavior: 'instant' });
    const box = [...element.getClientRects()].find(one => one.width && one.height) ?? element.getBoundingClientRect();
    if (!box.width || !box.height) return { problem: `${short(selector, 120)} has no size. ${candidates(selector)}` };
    if (element.disabled) return { problem: `${described(element)} is disabled.` };
    const x = box.left + box.width / 2, y = box.top + box.height / 2;
    let top = element.getRootNode().elementFromPoint?.(x, y);
    const inside = top && (element.contains(top) || top.contains(element) || top.shadowRoot?.contains(element) || element.labels && [...element.labels].some(label => label.contains(top)));
    if (top && !inside) return { problem: `${described(element)} is covered by <${top.tagName.toLowerCase()}${top.id ? ` id="${short(top.id, 40)}"` : ''}> "${short(squeeze(top.innerText ?? ''), 60)}". Close or scroll that away first.` };
    const moved = offset(element);
    return { x: x + moved.x, y: y + moved.y, name: described(element), matches };
  }

  function box({ selector }) {
    const picked = pick(selector);
    if (picked.problem) return picked;
    picked.element.scrollIntoView({ block: 'nearest', behavior: 'instant' });
    const at = picked.element.getBoundingClientRect(), moved = offset(picked.element);
    if (!at.width || !at.height) return { problem: `${short(selector, 120)} has no size.` };
    return { box: { x: at.left + moved.x + scrollX, y: at.top + moved.y + scrollY, width: Math.min(at.width, 4000), height: Math.min(at.height, 4000) } };
  }

  function fill({ selector, text, clear }) {
    const picked = pick(selector);
    if (picked.problem) return picked;
    let { element } = picked;
    if (element.tagName === 'LABEL' && element.control) element = element.control;
    const kind = kindOf(element);
    if (kind === 'select') {
      const options = [...element.options];
      const wanted = squeeze(text).toLowerCase();
      const option = options.find(one => squeeze(one.label).toLowerCase() === wanted || one.value === text) ?? options.find(one => squeeze(one.label).toLowerCase().includes(wanted));
      if (!option) return { problem: `${described(element)} has no option ${JSON.stringify(short(text))}.` };
      element.value = option.value;
      for (const name of ['input', 'change']) element.dispatchEvent(new Event(name, { bubbles: true }));
      return { kind: 'select', value: option.label };
    }
    if (kind !== 'textbox' && kind !== 'searchbox' && kind !== 'combobox' && kind !== 'spinbutton') {
      return { problem: `${described(element)} takes no text${kind === 'file' ? ': files cannot be given to a page here' : '; click it instead'}.` };
    }
    if (element.readOnly) return { problem: `${described(element)} is read-only.` };
    if (['date', 'time', 'datetime-local', 'month', 'week', 'color'].includes(element.type)) {
      Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set.call(element, text);
      for (const name of ['input', 'change']) element.dispatchEvent(new Event(name, { bubbles: true }));
      return element.value ? { kind: 'value', value: element.value } : { problem: `${described(element)} takes no ${JSON.stringify(short(text))}; dates are written 2031-12-24, times 18:30.` };
    }
    element.focus();
    if (element.select && clear) element.select();
    else if (element.select) element.setSelectionRange?.(element.value.length, element.value.length);
    else {
      const range = element.ownerDocument.createRange();
      range.selectNodeContents(element);
      if (!clear) range.collapse(false);
      const selection = element.ownerDocument.defaultView.getSelection();
      selection.removeAllRanges();
      selection.addRange(range);
    }
    return { kind: 'text' };
  }

  function seen({ selector, text }) {
    if (selector) {
      const { found, invalid } = matching(selector);
      if (invalid) return { problem: `${short(selector, 120)} is not a CSS selector.` };
      if (!found.some(isShown)) return { there: false };
    }
    const words = squeeze(text ?? '').toLowerCase();
    const said = () => roots().map(root => (root.body ?? root.host)?.innerText ?? '').join(' ');
    return { there: !words || squeeze(said()).toLowerCase().includes(words) };
  }

  function extract({ selector }) {
    if (!selector) return { text: document.body ? read(document.body) : squeeze(document.documentElement?.textContent ?? '') };
    const picked = pick(selector);
    return picked.problem ? picked : { text: read(picked.element) };
  }

  return { point, box, fill, seen, extract, title: () => short(squeeze(document.title), 200) };
})()
