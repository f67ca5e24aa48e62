// What the panel needs of the program around it. JupyterLab supplies it; views know nothing else of JupyterLab.
import { visible } from '../../widgets/src/views/plain';
import { Refused } from './api';
import type { Variable } from './notebook/kernel';

export interface Place {
  /** A folder by Jupyter's own path, '' for its root. */
  folder: string;
  /** The open notebook, by Jupyter's own path. */
  notebook: string | null;
  /** Whether it has a Python kernel. */
  kernel: boolean;
}

export interface Host {
  place(): Place;
  onPlace(listener: () => void): () => void;
  /** What `@` can name of the open notebook's kernel. Rejects with a sentence where it cannot be asked. */
  variables(): Promise<Variable[]>;
  /** The prompt with the variables that it names described below, as in a cell; what is a file of the folder it is about
   * stays one where no kernel runs. Rejects with a sentence. */
  describe(prompt: string, folder: string | null): Promise<string>;
  open(path: string): void;
  download(url: string): void;
  /** Names in a folder, folders with a '/' behind; empty when there is no such folder. */
  list(folder: string): Promise<string[]>;
  /** Write a file into a folder, under a name that is still free; the name. */
  upload(folder: string, file: File): Promise<string>;
  confirm(question: string, yes: string): Promise<boolean>;
}

/** Delete something, for good only when a person says so again where it holds the only copy of something. */
export async function removed(host: Host, remove: (force: boolean) => Promise<unknown>): Promise<void> {
  try {
    await remove(false);
  } catch (error) {
    const asked = error instanceof Refused && error.type === 'OnlyCopy';
    if (!asked || !(await host.confirm(visible(`${error.message} Delete it all the same?`), 'Delete for good'))) {
      throw error;
    }
    await remove(true);
  }
}
