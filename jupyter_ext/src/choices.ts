// What is offered to complete a command or the name of a file.
import { useEffect, useMemo, useState } from 'react';
import { COMMANDS, Completion, mention } from './commands';
import type { Host } from './host';
import { folderOf, join } from './paths';

export interface Choice {
  insert: string;
  name: string;
  about: string;
  /** A folder: its files are offered next. */
  goes: boolean;
}

const MOST_CHOICES = 12;

/** What completes the word before the caret; files come from Jupyter, a folder at a time. */
export function useChoices(host: Host, folder: string | null, completion: Completion | null): Choice[] {
  const [files, setFiles] = useState<{ of: string; names: string[] }>({ of: '', names: [] });
  const inside = completion?.kind === 'file' ? folderOf(completion.typed) : '';
  const wanted = completion?.kind === 'file' && folder !== null ? `/${join(folder, inside)}` : '';
  useEffect(() => {
    let gone = false;
    if (wanted) {
      void host.list(wanted.slice(1)).then(names => !gone && setFiles({ of: wanted, names }), () => undefined);
    }
    return () => {
      gone = true;
    };
  }, [host, wanted]);
  return useMemo(() => {
    if (completion?.kind === 'command') {
      return Object.entries(COMMANDS)
        .filter(([name]) => name.startsWith(completion.typed))
        .map(([name, about]) => ({ insert: `/${name}`, name: `/${name}`, about, goes: false }));
    }
    if (completion?.kind !== 'file' || files.of !== wanted) {
      return [];
    }
    const start = completion.typed.slice(inside ? inside.length + 1 : 0).toLowerCase();
    return files.names
      .filter(name => name.toLowerCase().startsWith(start))
      .slice(0, MOST_CHOICES)
      .map(name => {
        const goes = name.endsWith('/');
        const path = join(inside, name);
        return { insert: goes ? `@${path}` : mention(path), name: path, about: goes ? 'folder' : '', goes };
      });
  }, [completion, files, wanted, inside]);
}
