// node-forge types only its root module, and that incompletely; this is the part of lib/asn1 that der.ts uses.
declare module "node-forge/lib/asn1.js" {
  interface Asn1 {
    tagClass: number;
    type: number;
    constructed: boolean;
    composed: boolean;
    value: string | Asn1[];
  }
  interface FromDerOptions {
    strict: boolean;
    parseAllBytes: boolean;
    decodeBitStrings: boolean;
    maxDepth: number;
  }
  interface ByteBuffer {
    getBytes(): string;
  }
  const asn1: {
    create(tagClass: number, type: number, constructed: boolean, value: string | Asn1[]): Asn1;
    fromDer(bytes: string, options: FromDerOptions): Asn1;
    toDer(node: Asn1): ByteBuffer;
    oidToDer(oid: string): ByteBuffer;
  };
  export default asn1;
  export type { Asn1 };
}
