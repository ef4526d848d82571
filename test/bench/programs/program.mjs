// The frame of every program here: options from the command line, one answer for each message, and the end with its parent.

export const options = JSON.parse(process.argv[2] ?? "{}");

/** Says that the program is ready; from then on `{ do: name, … }` is answered with what `commands[name]` resolves to. */
export function ready(info, commands = {}) {
  process.on("message", async ({ do: name, ...given }) => {
    try {
      process.send((await commands[name](given)) ?? {});
    } catch (error) {
      process.send({ error: error.stack });
    }
  });
  process.on("disconnect", () => process.exit());
  process.send(info);
}
