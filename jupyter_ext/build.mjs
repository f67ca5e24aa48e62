// The panel for JupyterLab and Notebook 7: esbuild makes one module of our code and its libraries, Jupyter's own
// builder makes the prebuilt extension of it, which takes React and JupyterLab from the page.
import { build } from 'esbuild';
import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { notices } from '../widgets/notices.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const { resolve } = createRequire(import.meta.url);
const made = await build({
  metafile: true,
  entryPoints: [`${here}src/index.ts`],
  outfile: `${here}lib/index.js`,
  bundle: true,
  format: 'esm',
  target: 'es2022',
  jsx: 'automatic',
  loader: { '.css': 'text', '.svg': 'text' },
  external: ['@jupyterlab/*', '@lumino/*', 'react', 'react/*', 'react-dom', 'react-dom/*'],
  legalComments: 'none'
});
const builder = resolve('@jupyter/builder/package.json').replace(/package\.json$/, 'lib/build-labextension.js');
const core = resolve('@jupyterlab/core-meta/core.package.json');
execFileSync(process.execPath, [builder, '--core-package-file', core, here], { stdio: ['ignore', 'ignore', 'inherit'] });
writeFileSync(`${here}labextension/static/LICENSES.txt`, notices(made.metafile, process.cwd()));
