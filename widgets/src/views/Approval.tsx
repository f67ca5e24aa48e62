// The agent asks a person.
import { memo, useEffect, useRef } from 'react';
import type { Approval as Asked } from '../run';
import type { Action } from '../source';
import { Icon } from './Icon';
import { oneLine, visible } from './plain';
import { Code } from './text';

const SAID = { allow: 'Allowed once', session: 'Allowed for the session', deny: 'Denied' };

export const Approval = memo(function Approval({ asked, send, ended }: { asked: Asked; send: (action: Action) => void; ended: boolean }) {
  const { request, answer } = asked;
  const first = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    // Somebody who is typing elsewhere is not interrupted.
    const active = document.activeElement;
    if (!answer && (!active || active === document.body)) {
      first.current?.focus({ preventScroll: true });
    }
  }, []);
  if (answer) {
    return (
      <p className={`agk-answered agk-${answer.decision}`}>
        <Icon name="shield" /> {SAID[answer.decision]}: <code>{oneLine(request.what, 90)}</code>
        {answer.reason && <span className="agk-dim"> {visible(answer.reason)}</span>}
      </p>
    );
  }
  const decide = (decision: 'allow' | 'session' | 'deny') => () => send({ kind: 'approve', id: request.id, decision });
  return (
    <section className="agk-approval" role="alertdialog" aria-label="The agent asks for your approval">
      <h4>
        <Icon name="warning" /> Allow <strong>{visible(request.tool)}</strong>?
      </h4>
      <Code text={request.what} language={/python|notebook_run/.test(request.tool) ? 'python' : 'bash'} />
      <p>{visible(request.reason)}</p>
      <div className="agk-buttons">
        <button type="button" ref={first} className="agk-primary" disabled={ended} onClick={decide('allow')}>
          Allow once
        </button>
        <button type="button" disabled={ended} onClick={decide('session')} title={`Allows ${visible(request.scope)} from now on`}>
          Allow for session
        </button>
        <button type="button" className="agk-stop" disabled={ended} onClick={decide('deny')}>
          Deny
        </button>
      </div>
    </section>
  );
});
