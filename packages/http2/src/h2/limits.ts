import { Exchange } from "../exchange.js";
import { SharedTicker, type Ticker } from "./shared-ticker.js";

/** Options of an HTTP/2 session, of both roles. Sizes in bytes, times in milliseconds. */
export interface Http2Options {
  /** Streams a peer may have open with us at once; also counts those it has reset while their call goes on. @defaultValue 256 */
  maxConcurrentStreams?: number;
  /** Streams we open at once on one session, however many more the peer allows. @defaultValue 1024 */
  maxOutboundStreams?: number;
  /** What a peer may send on one stream before we have taken it (RFC 9113, section 6.9.2). @defaultValue 1048576 */
  streamWindowBytes?: number;
  /** The same for all streams of a connection together. @defaultValue 16777216 */
  connectionWindowBytes?: number;
  /** Bytes that paused streams of one connection may hold before the connection as a whole has to wait. @defaultValue 16777216 */
  maxBufferedBytes?: number;
  /** Largest frame we take. 16384 to 16777215. @defaultValue 16384 */
  maxFrameBytes?: number;
  /** HPACK table we offer for decoding. 4096 to 65536. @defaultValue 4096 */
  headerTableBytes?: number;
  /** A head as RFC 9113, section 10.5.1 counts it: names, values, and 32 for each field. @defaultValue 65536 */
  maxHeaderListBytes?: number;
  /** Fields of a head, each cookie crumb counted. @defaultValue 256 */
  maxHeaderListPairs?: number;
  /** What a stream queues before its producer is paused. @defaultValue 65536 */
  sendQueueBytes?: number;
  /** The peer's preface and SETTINGS, and its answer to ours, have to come within this. @defaultValue 10000 */
  settingsTimeoutMs?: number;
  /** A header block has to be complete this long after its first frame. @defaultValue 10000 */
  headerTimeoutMs?: number;
  /** One write to the socket (at most about 128 KiB) has to be done within this, or the connection ends. @defaultValue 30000 */
  writeTimeoutMs?: number;
  /** A stream whose peer gives it no window, or too little to move 64 KiB in this time, is reset. @defaultValue 60000 */
  stallTimeoutMs?: number;
  /** Silence after which we send a PING; 0 never. Only while requests are open unless `keepAliveWhileIdle`. @defaultValue 10000 */
  keepAliveIntervalMs?: number;
  /** Silence after that PING which ends the connection. @defaultValue 10000 */
  keepAliveTimeoutMs?: number;
  /** Whether connections without requests are kept alive too. @defaultValue true */
  keepAliveWhileIdle?: boolean;
  /** Whether, as a server, we take extended CONNECT (RFC 8441). @defaultValue true */
  connectProtocol?: boolean;
  /** Client: send an exchange of HTTP/1.x with `l5d-orig-proto`, so that it comes out as what it was. @defaultValue false */
  carryHttp1?: boolean;
  /** Server: give a stream with `l5d-orig-proto` its HTTP/1.x version back. Without it the header is dropped. @defaultValue false */
  restoreHttp1?: boolean;
  /** Makes the exchange of an incoming request. @defaultValue () => new Exchange() */
  newExchange?: () => Exchange;
  /** Called each time a defence acts, with its name; for a counter. */
  onProtection?: (reason: Protection) => void;
  /** Milliseconds from any start. @defaultValue performance.now */
  now?: () => number;
  ticker?: Ticker;
}

/** The defences that `onProtection` names. All but the last four end the connection. */
export type Protection =
  | "reset-flood"
  | "made-you-reset"
  | "ping-flood"
  | "settings-flood"
  | "empty-frame-flood"
  | "window-update-flood"
  | "priority-flood"
  | "unknown-frame-flood"
  | "closed-stream-flood"
  | "continuation-flood"
  | "slow-headers"
  | "settings-timeout"
  | "keep-alive-timeout"
  | "write-stall"
  | "output-overflow"
  | "header-bytes"
  | "header-pairs"
  | "stalled-stream"
  | "concurrency";

export type Http2Config = Readonly<Required<Http2Options>>;

const ticker = new SharedTicker();

export const http2Defaults: Http2Config = Object.freeze({
  maxConcurrentStreams: 256,
  maxOutboundStreams: 1024,
  streamWindowBytes: 1_048_576,
  connectionWindowBytes: 16_777_216,
  maxBufferedBytes: 16_777_216,
  maxFrameBytes: 16_384,
  headerTableBytes: 4_096,
  maxHeaderListBytes: 65_536,
  maxHeaderListPairs: 256,
  sendQueueBytes: 65_536,
  settingsTimeoutMs: 10_000,
  headerTimeoutMs: 10_000,
  writeTimeoutMs: 30_000,
  stallTimeoutMs: 60_000,
  keepAliveIntervalMs: 10_000,
  keepAliveTimeoutMs: 10_000,
  keepAliveWhileIdle: true,
  connectProtocol: true,
  carryHttp1: false,
  restoreHttp1: false,
  newExchange: () => new Exchange(),
  onProtection: () => {},
  now: () => performance.now(),
  ticker,
});

// Inclusive bounds of the numbers.
const bounds: Readonly<Record<string, readonly [number, number]>> = {
  maxConcurrentStreams: [1, 65_536],
  maxOutboundStreams: [1, 65_536],
  streamWindowBytes: [1_024, 0x7fffffff],
  connectionWindowBytes: [65_535, 0x7fffffff],
  maxBufferedBytes: [65_536, Number.MAX_SAFE_INTEGER],
  maxFrameBytes: [16_384, 16_777_215],
  headerTableBytes: [4_096, 65_536],
  maxHeaderListBytes: [1_024, 1_048_576],
  maxHeaderListPairs: [16, 65_536],
  sendQueueBytes: [1, 0x7fffffff],
  settingsTimeoutMs: [1, 3_600_000],
  headerTimeoutMs: [1, 3_600_000],
  writeTimeoutMs: [1, 86_400_000],
  stallTimeoutMs: [1, 86_400_000],
  keepAliveIntervalMs: [0, 86_400_000],
  keepAliveTimeoutMs: [1, 86_400_000],
};

/** Defaults filled in, numbers checked, frozen. Throws a RangeError or TypeError that names the option. */
export function resolveHttp2(options: Http2Options = {}): Http2Config {
  const config: Record<string, unknown> = { ...http2Defaults };
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(http2Defaults, name)) throw new TypeError(`http2.${name} is not an option; remove it`);
    if (value === undefined) continue;
    const range = bounds[name];
    if (range !== undefined && !(Number.isInteger(value) && value >= range[0] && value <= range[1])) {
      throw new RangeError(`http2.${name} is ${String(value)}; give a whole number from ${range[0]} to ${range[1]}`);
    }
    const wanted = typeof http2Defaults[name as keyof Http2Config];
    if (typeof value !== wanted) throw new TypeError(`http2.${name} is a ${typeof value}; give a ${wanted}`);
    config[name] = value;
  }
  return Object.freeze(config) as unknown as Http2Config;
}
