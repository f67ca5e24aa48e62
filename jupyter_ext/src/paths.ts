// Jupyter names files from its root folder, sessions name their workspace on the machine.
export function join(...parts: string[]): string {
  return parts.filter(Boolean).join('/').replace(/\/+/g, '/');
}

export function folderOf(path: string): string {
  return path.includes('/') ? path.slice(0, path.lastIndexOf('/')) : '';
}

export function nameOf(path: string): string {
  return path.replace(/\/+$/, '').split('/').pop() ?? '';
}

/** A workspace by Jupyter's own path; null when Jupyter does not show it. */
export function fromRoot(root: string, workspace: string): string | null {
  const home = root.replace(/\/+$/, '');
  if (workspace === home) {
    return '';
  }
  return workspace.startsWith(`${home}/`) ? workspace.slice(home.length + 1) : null;
}

/** A name that is not among `taken`: `data.csv`, `data-1.csv` … */
export function freeName(name: string, taken: ReadonlySet<string>): string {
  const dot = name.lastIndexOf('.');
  const [stem, suffix] = dot > 0 ? [name.slice(0, dot), name.slice(dot)] : [name, ''];
  for (let number = 0; ; number++) {
    const tried = number ? `${stem}-${number}${suffix}` : name;
    if (!taken.has(tried)) {
      return tried;
    }
  }
}

/** A file's name without what would lead elsewhere or could not be typed after an `@`. */
export function safeName(name: string): string {
  // eslint-disable-next-line no-control-regex
  const clean = name.replace(/[\u0000-\u001f\u007f/\\:*?"<>|]+/g, '-').replace(/^[.\s]+|\s+$/g, '').slice(0, 120);
  return clean || 'file';
}
