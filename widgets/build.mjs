// One ES module for anywidget, with its styles inside: agent_kernel/static/cell.js. One page that needs nothing else, for
// the desktop of a sandbox: agent_kernel/static/desktop.html.
import { build } from 'esbuild';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { notices } from './notices.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const out = `${here}../agent_kernel/static`;
const common = { bundle: true, metafile: true, minify: true, format: 'esm', target: 'es2022', define: { 'process.env.NODE_ENV': '"production"' } };
const cell = await build({
  ...common,
  entryPoints: [`${here}src/cell.tsx`],
  outfile: `${out}/cell.js`,
  jsx: 'automatic',
  loader: { '.css': 'text' },
  legalComments: 'none'
});

const desktop = await build({ ...common, entryPoints: [`${here}src/desktop.ts`], write: false, outfile: `${out}/desktop.js`, legalComments: 'none' });
const script = desktop.outputFiles[0].text.replaceAll('</script', '<\\/script').replaceAll('<!--', '<\\!--');
writeFileSync(
  `${out}/desktop.html`,
  `<!doctype html><html lang="en"><meta charset="utf-8"><title>Desktop</title>
<meta name="viewport" content="width=device-width">
<style>
html, body { margin: 0; height: 100%; background: #1d2530; color: #c9d1dc; font: 14px system-ui, sans-serif; overflow: hidden }
#screen { position: absolute; inset: 0; display: flex }
#said { position: absolute; inset: 0; margin: 0; display: grid; place-items: center }
#said[hidden] { display: none }
</style>
<p id="said" role="status">Connecting to the desktop …</p><div id="screen"></div>
<!-- Contains noVNC, (c) the noVNC authors, Mozilla Public License 2.0: https://github.com/novnc/noVNC -->
<script type="module">${script}</script></html>
`
);
const inputs = { ...cell.metafile.inputs, ...desktop.metafile.inputs };
writeFileSync(`${out}/LICENSES.txt`, notices({ inputs }, process.cwd()));
