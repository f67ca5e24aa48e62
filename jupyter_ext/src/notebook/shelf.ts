// Where the browser keeps what agents changed in notebooks: those used last, so that there is room for everybody else.

export type Shelf = Pick<Storage, 'length' | 'key' | 'getItem' | 'setItem' | 'removeItem'>;

export const PREFIX = 'agent-kernel:changes:';
/** Where their keys stand, by last use: the newest is the last. */
const ORDER = 'agent-kernel:changes';
/** Characters of all notebooks together. An origin has some five million, for every extension there is. */
const MOST = 2_000_000;
const MOST_NOTEBOOKS = 200;

/** Keep this as what was used last; the oldest, and what is too large beside it, give way. Raises where the browser has no room left. */
export function keep(shelf: Shelf, key: string, text: string): void {
  const order = [key];
  let left = MOST - key.length - text.length;
  for (const other of byUse(shelf).reverse()) {
    if (other === key) {
      continue;
    }
    const size = other.length + (shelf.getItem(other) ?? '').length;
    if (size <= left && order.length < MOST_NOTEBOOKS) {
      left -= size;
      order.unshift(other);
    } else {
      shelf.removeItem(other);
    }
  }
  shelf.setItem(key, text);
  shelf.setItem(ORDER, JSON.stringify(order));
}

/** What is there, the oldest first. The order is only believed of keys that are: it may be broken, or of long ago. */
function byUse(shelf: Shelf): string[] {
  const keys = Array.from({ length: shelf.length }, (_, at) => shelf.key(at) ?? '').filter(key => key.startsWith(PREFIX));
  const places = new Map(noted(shelf).map((key, at) => [key, at]));
  return keys.sort((a, b) => (places.get(a) ?? -1) - (places.get(b) ?? -1));
}

function noted(shelf: Shelf): unknown[] {
  try {
    const order: unknown = JSON.parse(shelf.getItem(ORDER) ?? '[]');
    return Array.isArray(order) ? order : [];
  } catch {
    return [];
  }
}
