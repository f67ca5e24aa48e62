// What the panel needs of the program around it. JupyterLab supplies it; views know nothing else of JupyterLab.
export interface Place {
  /** A folder by Jupyter's own path, '' for its root. */
  folder: string;
  /** The open notebook, by Jupyter's own path. */
  notebook: string | null;
}

export interface Host {
  place(): Place;
  onPlace(listener: () => void): () => void;
  open(path: string): void;
  download(url: string): void;
  /** Names in a folder, folders with a '/' behind; empty when there is no such folder. */
  list(folder: string): Promise<string[]>;
  /** Write a file into a folder, under a name that is still free; the name. */
  upload(folder: string, file: File): Promise<string>;
  confirm(question: string, yes: string): Promise<boolean>;
}
