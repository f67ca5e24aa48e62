// What is told of by a listener, from the first drawing on: it may change before anybody listens.
import { useEffect, useState } from 'react';

/** What `read` gives, again whenever `listen` is told that it changed; both belong to `owner`. */
export function useHeard<T>(owner: object, read: () => T, listen: (heard: () => void) => () => void): T {
  const [found, setFound] = useState(read);
  useEffect(() => {
    const renew = (): void => setFound(read());
    const off = listen(renew);
    renew();
    return off;
  }, [owner]);
  return found;
}
