/**
 * What `make` makes, for as long as somebody holds it, and another one after that. For schemas: they take more memory than all
 * that they are there to check, and are needed for the milliseconds in which a document is read.
 */
export function remade<T extends object>(make: () => T): () => T {
  let made: WeakRef<T> | undefined;
  return () => {
    let value = made?.deref();
    if (value === undefined) {
      value = make();
      made = new WeakRef(value);
    }
    return value;
  };
}
