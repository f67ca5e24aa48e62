// The licences of what a bundle contains, as one text: most ask to be passed on with every copy.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** `metafile` is esbuild's; `root` the folder its paths are relative to. Throws where a package has no licence to show. */
export function notices(metafile, root) {
  const folders = new Set(
    Object.keys(metafile.inputs)
      .map(path => path.match(/^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//)?.[1])
      .filter(Boolean)
  );
  return [...folders]
    .map(folder => notice(join(root, folder)))
    .sort()
    .join(`\n${'-'.repeat(80)}\n\n`);
}

function notice(folder) {
  const about = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const files = readdirSync(folder).filter(name => /^(licen[cs]e|copying|notice)/i.test(name) && existsSync(join(folder, name)));
  if (!about.license && !files.length) throw new Error(`${about.name} says nothing of its licence`);
  const texts = files.map(name => readFileSync(join(folder, name), 'utf8').trim());
  const home = about.homepage ?? about.repository?.url ?? '';
  return `${about.name} ${about.version} (${about.license})\n${home}\n\n${texts.join('\n\n')}\n`;
}
