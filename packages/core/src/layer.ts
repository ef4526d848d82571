import type { Service } from "@selvage/http2";

/** One concern of the data path. Applied when a stack is built, never per request. */
export interface Layer {
  readonly name: string;
  wrap(inner: Service): Service;
}

/** Builds a service out of layers, outermost first, around `inner`. */
export function stack(layers: readonly Layer[], inner: Service): Service {
  return layers.reduceRight((service, layer) => layer.wrap(service), inner);
}

/** The names of layers in the order in which a request meets them: `a → b → c`. */
export function describe(layers: readonly Layer[]): string {
  return layers.map((layer) => layer.name).join(" → ");
}
