// One ES module for anywidget, with its styles inside: agent_kernel/static/cell.js.
import { build } from 'esbuild';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
await build({
  entryPoints: [`${here}src/cell.tsx`],
  outfile: `${here}../agent_kernel/static/cell.js`,
  bundle: true,
  minify: true,
  format: 'esm',
  target: 'es2022',
  jsx: 'automatic',
  loader: { '.css': 'text' },
  legalComments: 'none',
  define: { 'process.env.NODE_ENV': '"production"' }
});
