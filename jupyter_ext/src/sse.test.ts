import { describe, expect, it } from 'vitest';
import { SseParser } from './sse';

const TEXT = 'retry: 1000\n\nid: r:1\ndata: {"a":1}\n\n: alive\n\nevent: run\r\ndata: one\r\ndata: two\r\n\r\ndata: half';

describe('server-sent events', () => {
  it('are the same wherever the network cuts them', () => {
    const whole = new SseParser().take(TEXT);
    expect(whole).toEqual([
      { event: '', data: '{"a":1}' },
      { event: 'run', data: 'one\ntwo' }
    ]);
    for (let size = 1; size < TEXT.length; size++) {
      const parser = new SseParser();
      const found = [];
      for (let at = 0; at < TEXT.length; at += size) {
        found.push(...parser.take(TEXT.slice(at, at + size)));
      }
      expect(found).toEqual(whole);
    }
  });
});
