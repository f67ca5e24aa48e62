// What is offered to complete a command, or the name of a file or a skill.
import { useEffect, useMemo, useState } from 'react';
import type { Named } from './api';
import { COMMANDS, Completion, mention } from './commands';
import type { Host } from './host';
import { folderOf, join } from './paths';
import { oneLine } from '../../widgets/src/views/plain';

export interface Choice {
  insert: string;
  name: string;
  about: string;
  /** A folder: its files are offered next. */
  goes: boolean;
}

const MOST_CHOICES = 12;
const MOST_SKILLS = 5;

/** What completes the word before the caret; files come from Jupyter, a folder at a time. */
export function useChoices(host: Host, folder: string | null, completion: Completion | null, skills: () => Promise<Named[]>): Choice[] {
  const [known, setKnown] = useState<Named[]>([]);
  const asking = completion?.kind === 'file';
  useEffect(() => {
    let gone = false;
    if (asking) {
      void skills().then(found => !gone && setKnown(found), () => undefined);
    }
    return () => {
      gone = true;
    };
  }, [skills, asking]);
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
    if (completion?.kind !== 'file') {
      return [];
    }
    const said = completion.typed.toLowerCase();
    const named = known
      .filter(skill => skill.name.startsWith(said))
      .slice(0, MOST_SKILLS)
      .map(skill => ({ insert: `skill \`${skill.name}\``, name: skill.name, about: `skill: ${oneLine(skill.description, 80)}`, goes: false }));
    if (files.of !== wanted) {
      return named;
    }
    const start = completion.typed.slice(inside ? inside.length + 1 : 0).toLowerCase();
    const found = files.names
      .filter(name => name.toLowerCase().startsWith(start))
      .slice(0, MOST_CHOICES)
      .map(name => {
        const goes = name.endsWith('/');
        const path = join(inside, name);
        return { insert: goes ? `@${path}` : mention(path), name: path, about: goes ? 'folder' : '', goes };
      });
    return [...found.slice(0, MOST_CHOICES - named.length), ...named];
  }, [completion, files, wanted, inside, known]);
}
