import { defaultWindow, errorCode, maxWindow, minFrameBytes, readUint32, setting } from "./frame.js";

/** A peer's SETTINGS (RFC 9113, section 6.5), as far as we act on them. */
export class PeerSettings {
  headerTableBytes = 4_096;
  pushEnabled = -1;
  maxConcurrentStreams = -1;
  initialWindow = defaultWindow;
  maxFrameBytes = minFrameBytes;
  maxHeaderListBytes: number = Number.POSITIVE_INFINITY;
  connectProtocol = false;

  /** Takes over the payload of a SETTINGS frame; returns an error code. */
  apply(buffer: Buffer, start: number, end: number): number {
    for (let at = start; at < end; at += 6) {
      const value = readUint32(buffer, at + 2);
      switch ((buffer[at]! << 8) | buffer[at + 1]!) {
        case setting.headerTableSize:
          this.headerTableBytes = value;
          break;
        case setting.enablePush:
          if (value > 1) return errorCode.protocol;
          this.pushEnabled = value;
          break;
        case setting.maxConcurrentStreams:
          this.maxConcurrentStreams = value;
          break;
        case setting.initialWindowSize:
          if (value > maxWindow) return errorCode.flowControl;
          this.initialWindow = value;
          break;
        case setting.maxFrameSize:
          if (value < minFrameBytes || value > 0xffffff) return errorCode.protocol;
          this.maxFrameBytes = value;
          break;
        case setting.maxHeaderListSize:
          this.maxHeaderListBytes = value;
          break;
        case setting.enableConnectProtocol:
          // RFC 8441, section 3: once said, it stays.
          if (value > 1 || (value === 0 && this.connectProtocol)) return errorCode.protocol;
          this.connectProtocol = value === 1;
          break;
        default:
      }
    }
    return errorCode.none;
  }
}
