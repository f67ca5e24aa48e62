// Skills: all there are, each on or off for this conversation; one's own are written here.
import { FormEvent, useCallback, useEffect, useId, useRef, useState } from 'react';
import { Icon } from '../../widgets/src/views/Icon';
import { visible } from '../../widgets/src/views/plain';
import { Code, Markdown } from '../../widgets/src/views/text';
import type { Host } from './host';
import { Attempt, Find, Item, Loading, MANY, Toggle, matches } from './Settings';
import { Problem, SettingsDoor, Skill, SkillText, bodyOf, slug } from './door';

const WHOSE: Record<Skill['scope'], string> = { workspace: 'of this folder', user: 'yours', bundled: 'comes along' };
const STATES: Record<string, string> = { untrusted: 'not trusted', shadowed: 'hidden by a nearer one', broken: 'broken' };

const faults = (skill: Skill): number => skill.problems.filter(problem => problem.level !== 'advice').length;

interface Props {
  door: SettingsDoor;
  /** Whether a conversation is open: skills are on or off in one. */
  switching: boolean;
  host: Host;
  attempt: Attempt;
  busy: boolean;
}

export function SkillsSection({ door, switching, host, attempt, busy }: Props) {
  const [skills, setSkills] = useState<Skill[] | null>(null);
  const [adding, setAdding] = useState(false);
  const [editing, setEditing] = useState<SkillText | null>(null);
  const [sought, setSought] = useState('');
  const [tried, setTried] = useState(false);
  const picker = useRef<HTMLInputElement>(null);
  const load = useCallback(async () => setSkills(await door.skills()), [door]);
  useEffect(() => void attempt('', load).then(() => setTried(true)), [load]);

  const upload = (file: File | undefined): void => {
    if (!file) {
      return;
    }
    void attempt('Installing …', async () => {
      const put = async (replace: boolean): Promise<string> => {
        const { skills } = await door.upload(file, replace);
        await load();
        return `Installed: ${skills.map(skill => skill.name).join(', ')}.`;
      };
      try {
        return await put(false);
      } catch (error) {
        if (!/there already/.test((error as Error).message) || !(await host.confirm(`${(error as Error).message} Replace it?`, 'Replace'))) {
          throw error;
        }
        return put(true);
      }
    });
  };
  if (editing) {
    return <Editor skill={editing} door={door} attempt={attempt} busy={busy} close={() => (setEditing(null), void attempt('', load))} />;
  }
  const shown = skills?.filter(skill => matches(sought, skill.name, skill.description)) ?? [];
  const edit = (name: string): Promise<void> => attempt('', async () => setEditing(await door.skill(name)));
  return (
    <>
      <div className="agk-tools">
        <button type="button" className="agk-primary" disabled={busy} onClick={() => setAdding(!adding)} aria-expanded={adding}>
          <Icon name="plus" /> New skill
        </button>
        <button type="button" disabled={busy} onClick={() => picker.current?.click()}>
          Upload a ZIP
        </button>
        <input ref={picker} type="file" accept=".zip,application/zip" hidden aria-label="A ZIP file with skills" onChange={event => (upload(event.target.files?.[0]), (event.target.value = ''))} />
      </div>
      {adding && <Begin busy={busy} begin={(name, about) => attempt('Making it …', async () => (setEditing(await door.begin(name, about)), setAdding(false)))} />}
      {!switching && <p className="agk-dim agk-lead">All conversations begin with every skill. Open one to leave a skill out of it.</p>}
      {!skills && <Loading said="Looking which skills there are …" again={tried && !busy ? () => void attempt('', load) : null} />}
      {skills && skills.length > MANY && <Find what="skill" sought={sought} setSought={setSought} found={shown.length} of={skills.length} />}
      {shown.map(skill => (
        <Item
          key={`${skill.scope} ${skill.folder}`}
          title={skill.name}
          about={skill.description}
          tags={
            <>
              <span className="agk-chip">{WHOSE[skill.scope]}</span>
              {faults(skill) > 0 && <span className="agk-dim agk-number">{faults(skill)} {faults(skill) === 1 ? 'fault' : 'faults'}</span>}
              {STATES[skill.state] && <span className="agk-chip agk-demo">{STATES[skill.state]}</span>}
            </>
          }
          control={
            switching && (skill.state === 'on' || skill.state === 'off') && (
              <Toggle on={skill.state === 'on'} label={`Use ${visible(skill.name)} in this conversation`} disabled={busy} change={on => void attempt('', async () => (await door.switchSkill(skill.name, on), load()))} />
            )
          }
        >
          {() => (
            <Content
              name={skill.name}
              door={door}
              own={skill.scope === 'user'}
              edit={() => void edit(skill.name)}
              remove={async () => {
                if (await host.confirm(visible(`Delete the skill “${skill.name}” and its files for good?`), 'Delete')) {
                  await attempt('Deleting …', async () => (await door.remove(skill.name), load()));
                }
              }}
            />
          )}
        </Item>
      ))}
    </>
  );
}

function Content({ name, door, own, edit, remove }: { name: string; door: SettingsDoor; own: boolean; edit: () => void; remove: () => Promise<void> }) {
  const [skill, setSkill] = useState<SkillText | null>(null);
  useEffect(() => void door.skill(name).then(setSkill, () => setSkill(null)), [door, name]);
  if (!skill) {
    return <p className="agk-dim">Reading …</p>;
  }
  return (
    <>
      <Problems problems={skill.problems} />
      <div className="agk-paper" tabIndex={0} role="region" aria-label={`What ${visible(name)} says`}>
        <Markdown text={bodyOf(skill.text)} />
      </div>
      {skill.files.length > 1 && <p className="agk-dim">With {skill.files.filter(file => file.path !== 'SKILL.md').map(file => visible(file.path)).join(', ')}</p>}
      {own && (
        <div className="agk-buttons">
          <button type="button" onClick={edit}>
            Edit
          </button>
          <button type="button" className="agk-stop" onClick={() => void remove()}>
            Delete
          </button>
        </div>
      )}
    </>
  );
}

function Begin({ busy, begin }: { busy: boolean; begin: (name: string, about: string) => Promise<void> }) {
  const [name, setName] = useState('');
  const [about, setAbout] = useState('');
  const id = useId();
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    void begin(slug(name), about);
  };
  return (
    <form className="agk-form" onSubmit={submit} autoComplete="off">
      <label htmlFor={`${id}-name`}>Name{name && slug(name) !== name ? `: ${slug(name)}` : ''}</label>
      <input id={`${id}-name`} value={name} placeholder="weekly-report" maxLength={80} onChange={event => setName(event.target.value)} />
      <label htmlFor={`${id}-about`}>What it does, and when to use it: all the agent sees before it chooses</label>
      <textarea id={`${id}-about`} rows={2} value={about} placeholder="Makes the weekly sales report. Use when asked for figures of a week." maxLength={1024} onChange={event => setAbout(event.target.value)} />
      <div className="agk-buttons">
        <button type="submit" className="agk-primary" disabled={busy || !slug(name)}>
          Begin from the template
        </button>
      </div>
    </form>
  );
}

function Editor({ skill, door, attempt, busy, close }: { skill: SkillText; door: SettingsDoor; attempt: Attempt; busy: boolean; close: () => void }) {
  const [kept, setKept] = useState(skill);
  const [text, setText] = useState(skill.text);
  const [shown, setShown] = useState<'write' | 'preview'>('write');
  const save = (): void =>
    void attempt('Keeping …', async () => {
      setKept(await door.write(kept.name, text));
      return 'Kept. Runs have it from the next prompt on.';
    });
  return (
    <div className="agk-editor">
      <div className="agk-tools">
        <strong>{visible(kept.name)}</strong>
        <span className="agk-space" />
        <span className="agk-segments" role="group" aria-label="Write or preview">
          {(['write', 'preview'] as const).map(name => (
            <button key={name} type="button" aria-pressed={shown === name} onClick={() => setShown(name)}>
              {name === 'write' ? 'Write' : 'Preview'}
            </button>
          ))}
        </span>
      </div>
      <Problems problems={kept.problems} />
      {shown === 'write' ? (
        <textarea className="agk-source" aria-label="SKILL.md" spellCheck={false} value={text} onChange={event => setText(event.target.value)} />
      ) : (
        <div className="agk-paper agk-whole" tabIndex={0} role="region" aria-label="Preview">
          {text !== bodyOf(text) && <Code text={text.slice(0, text.length - bodyOf(text).length).trim()} language="yaml" />}
          <Markdown text={bodyOf(text)} />
        </div>
      )}
      <div className="agk-buttons">
        <button type="button" className="agk-primary" disabled={busy || text === kept.text} onClick={save}>
          Keep
        </button>
        <button type="button" onClick={close}>
          {text === kept.text ? 'Done' : 'Discard changes'}
        </button>
      </div>
    </div>
  );
}

function Problems({ problems }: { problems: Problem[] }) {
  return problems.length ? (
    <ul className="agk-problems">
      {problems.map(problem => (
        <li key={problem.text} className={problem.level === 'error' ? 'agk-error' : 'agk-dim'}>
          {problem.level}: {visible(problem.text)}
        </li>
      ))}
    </ul>
  ) : null;
}
