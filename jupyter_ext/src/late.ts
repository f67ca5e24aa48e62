// What was asked for may come when nobody wants it any more.

/** Tells what came of `work`, unless it is not `wanted` any more by then: neither what was found nor that it failed. */
export async function whileWanted<T>(work: Promise<T>, wanted: () => boolean, found: (value: T) => void, failed: (error: unknown) => void): Promise<void> {
  try {
    const value = await work;
    if (wanted()) {
      found(value);
    }
  } catch (error) {
    if (wanted()) {
      failed(error);
    }
  }
}

/** Looks every `ms` until it finds what is `waitedFor`, and tells that once, however slowly a look is answered; a look that fails is
 * one too early. Gives what ends it. */
export function lookUntil<T>(look: () => Promise<T>, waitedFor: (found: T) => boolean, tell: () => void, ms: number): () => void {
  let over = false;
  const end = (): void => {
    over = true;
    clearInterval(timer);
  };
  const found = (now: T): void => {
    if (waitedFor(now)) {
      end();
      tell();
    }
  };
  const timer = setInterval(() => void whileWanted(look(), () => !over, found, () => undefined), ms);
  return end;
}
