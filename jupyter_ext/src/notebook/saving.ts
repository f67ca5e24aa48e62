// Saves an open notebook, and never while it is just being saved: of two savings at once the later one finds a file that it does not
// know, and JupyterLab asks the person whose version should stay.
import type { NotebookPanel } from '@jupyterlab/notebook';

type Context = Pick<NotebookPanel['context'], 'model' | 'save' | 'saveState'>;

const LONGEST_SAVE = 15_000;
/** So long a saving that others have begun is waited for: it may be asking the person. */
const LONGEST_OTHER = 5_000;
const MOST_SAVES = 3;
const AGAIN = 700;

/** What is just being saved, by the person, by JupyterLab itself or from here. */
const saving = new WeakMap<Context, Promise<void>>();

export function watch(context: Context): void {
  let over = (): void => undefined;
  context.saveState.connect((_, state) => {
    over();
    if (state === 'started') {
      saving.set(context, new Promise(resolve => (over = resolve)));
    } else {
      saving.delete(context);
    }
  });
}

/** '' or why the document is not saved. Jupyter may ask the person something, who may not be there. */
export async function save(context: Context): Promise<string> {
  const { model } = context;
  await Promise.race([saving.get(context), after(LONGEST_OTHER)]);
  const late = after(LONGEST_SAVE).then(() => 'JupyterLab has not saved it yet; it may be asking the person.');
  let problem = '';
  for (let tries = 0; tries < MOST_SAVES && (model.dirty || (model.collaborative && !tries) || problem); tries++) {
    if (problem) {
      await after(AGAIN); // a collaborative document may just be being saved
    }
    problem = await Promise.race([context.save().then(() => '', error => String((error as Partial<Error> | null)?.message ?? error)), late]);
  }
  return problem;
}

function after(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms));
}
