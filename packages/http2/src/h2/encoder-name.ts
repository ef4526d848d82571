import type { HeaderName } from "./header-name.js";
import { staticNameIndex, staticTable } from "./hpack-table.js";

/** The most that finding its values earns a name, and what it begins with. */
export const maxCredit = 16;

interface StaticName {
  readonly values: readonly string[];
  readonly places: readonly number[];
}
// Emptied, not empty: V8 then handles them as it does the full ones.
const notStatic: StaticName = { values: [""].slice(1), places: [0].slice(1) };
/** The static table by name, for all encoders. */
const staticNames: ReadonlyMap<string, StaticName> = new Map(
  Array.from(staticNameIndex, ([text, first]) => {
    const places: number[] = [];
    for (let index = first; staticTable[index]?.name.text === text; index += 1) places.push(index);
    return [text, { values: places.map((index) => staticTable[index]!.value), places }];
  }),
);

/** What one encoder knows about a name: its values in the tables, and whether indexing them paid. */
export class EncoderName {
  readonly name: HeaderName;
  readonly staticIndex: number;
  /** Static entries first, with their index; then dynamic ones, with minus their serial number. Never changed, as they may be shared. */
  values: readonly string[];
  places: readonly number[];
  readonly staticCount: number;
  credit = maxCredit;

  constructor(name: HeaderName) {
    this.name = name;
    const found = staticNames.get(name.text) ?? notStatic;
    this.staticIndex = found.places[0] ?? 0;
    this.values = found.values;
    this.places = found.places;
    this.staticCount = found.values.length;
  }

  /** Not by `push`, which makes room for 16 more: most names have one value, on each of many connections. */
  add(value: string, place: number): void {
    this.values = this.values.concat([value]);
    this.places = this.places.concat([place]);
  }

  forget(place: number): void {
    const at = this.places.indexOf(place, this.staticCount);
    this.places = this.places.toSpliced(at, 1);
    this.values = this.values.toSpliced(at, 1);
  }
}
