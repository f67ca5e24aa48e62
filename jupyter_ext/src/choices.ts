// What is offered to complete a command, or the name of a variable, a file or a skill.
import { useEffect, useMemo, useState } from 'react';
import type { Named } from './api';
import { COMMANDS, Completion, mention } from './commands';
import type { Host } from './host';
import type { Variable } from './notebook/kernel';
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
const MOST_VARIABLES = 8;

/** What completes the word before the caret, and why variables are not among it; files come from Jupyter, a folder at a
 * time, variables from the kernel of the notebook that is open beside the panel. */
export function useChoices(host: Host, folder: string | null, completion: Completion | null, skills: () => Promise<Named[]>): { choices: Choice[]; note: string } {
  const [known, setKnown] = useState<Named[]>([]);
  const [variables, setVariables] = useState<Variable[]>([]);
  const [problem, setProblem] = useState('');
  const asking = completion?.kind === 'file';
  useEffect(() => {
    let gone = false;
    const keep = (found: Variable[], why: string): void => {
      if (!gone) {
        setVariables(found);
        setProblem(why);
      }
    };
    if (asking) {
      void skills().then(found => !gone && setKnown(found), () => undefined);
      void host.variables().then(found => keep(found, ''), error => keep([], (error as Error).message));
    }
    return () => {
      gone = true;
    };
  }, [host, skills, asking]);
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
  const choices = useMemo(() => {
    if (completion?.kind === 'command') {
      return Object.entries(COMMANDS)
        .filter(([name]) => name.startsWith(completion.typed))
        .map(([name, about]) => ({ insert: `/${name}`, name: `/${name}`, about, goes: false }));
    }
    if (completion?.kind !== 'file') {
      return [];
    }
    const said = completion.typed.toLowerCase();
    const held = variables
      .filter(({ name }) => name.toLowerCase().startsWith(said))
      .slice(0, MOST_VARIABLES)
      .map(({ name, about }) => ({ insert: `@${name}`, name, about: oneLine(about, 80), goes: false }));
    const taken = new Set(held.map(({ insert }) => insert));
    const named = known
      .filter(skill => skill.name.startsWith(said))
      .slice(0, MOST_SKILLS)
      .map(skill => ({ insert: `skill \`${skill.name}\``, name: skill.name, about: `skill: ${oneLine(skill.description, 80)}`, goes: false }));
    if (files.of !== wanted) {
      return [...held, ...named];
    }
    const start = completion.typed.slice(inside ? inside.length + 1 : 0).toLowerCase();
    const found = files.names
      .filter(name => name.toLowerCase().startsWith(start))
      .slice(0, MOST_CHOICES)
      .map(name => {
        const goes = name.endsWith('/');
        const path = join(inside, name);
        const insert = goes ? `@${path}` : mention(path);
        return { insert: taken.has(insert) ? mention(`./${path}`) : insert, name: path, about: goes ? 'folder' : '', goes };
      });
    return [...held, ...found.slice(0, Math.max(0, MOST_CHOICES - named.length - held.length)), ...named];
  }, [completion, files, wanted, inside, known, variables]);
  return { choices, note: asking && !inside ? problem : '' };
}
