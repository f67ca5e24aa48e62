// A unified diff of two short texts, by the longest common subsequence of their lines.
export interface Line {
  /** '…' stands for lines that are the same and left out. */
  kind: ' ' | '+' | '-' | '…';
  text: string;
}

/** Above it, what differs in the middle is shown as replaced as a whole: the table would be as large as its product. */
const MOST_PAIRS = 1_000_000;

export function lineDiff(before: string, after: string, around = 3): Line[] {
  const old = linesOf(before);
  const now = linesOf(after);
  let head = 0;
  while (head < old.length && head < now.length && old[head] === now[head]) {
    head++;
  }
  let tail = 0;
  while (tail < old.length - head && tail < now.length - head && old[old.length - 1 - tail] === now[now.length - 1 - tail]) {
    tail++;
  }
  const middle = compared(old.slice(head, old.length - tail), now.slice(head, now.length - tail));
  const same = (lines: string[]): Line[] => lines.map(text => ({ kind: ' ', text }));
  return folded([...same(old.slice(0, head)), ...middle, ...same(old.slice(old.length - tail))], around);
}

function linesOf(text: string): string[] {
  return text === '' ? [] : text.replace(/\n$/, '').split('\n');
}

function compared(old: string[], now: string[]): Line[] {
  const added = (text: string): Line => ({ kind: '+', text });
  const removed = (text: string): Line => ({ kind: '-', text });
  if (old.length * now.length > MOST_PAIRS) {
    return [...old.map(removed), ...now.map(added)];
  }
  const width = now.length + 1;
  const common = new Uint32Array((old.length + 1) * width);
  for (let i = old.length - 1; i >= 0; i--) {
    for (let j = now.length - 1; j >= 0; j--) {
      common[i * width + j] = old[i] === now[j] ? common[(i + 1) * width + j + 1]! + 1 : Math.max(common[(i + 1) * width + j]!, common[i * width + j + 1]!);
    }
  }
  const lines: Line[] = [];
  let [i, j] = [0, 0];
  while (i < old.length || j < now.length) {
    if (i < old.length && j < now.length && old[i] === now[j]) {
      lines.push({ kind: ' ', text: old[i]! });
      i++, j++;
    } else if (j >= now.length || (i < old.length && common[(i + 1) * width + j]! >= common[i * width + j + 1]!)) {
      lines.push(removed(old[i++]!));
    } else {
      lines.push(added(now[j++]!));
    }
  }
  return lines;
}

/** Without the lines that are far from any change. */
function folded(lines: Line[], around: number): Line[] {
  const near = new Set<number>();
  lines.forEach(({ kind }, at) => {
    for (let other = at - around; kind !== ' ' && other <= at + around; other++) {
      near.add(other);
    }
  });
  const shown: Line[] = [];
  lines.forEach((line, at) => {
    if (near.has(at)) {
      shown.push(line);
    } else if (shown[shown.length - 1]?.kind !== '…') {
      shown.push({ kind: '…', text: '' });
    }
  });
  return shown;
}
