import { describe, expect, test } from "vitest";
import { altNamesOf, basicConstraintsOf, maxCertificateBytes, readCertificate } from "./certificate.js";
import { type Der, derBoolean, derContext, derInteger, derOid, derSequence, encodeDer, parseDer } from "./der.js";
import { IdentityError } from "./identity-error.js";
import { readPem } from "./pem.js";
import { bakeLeaf, type LeafRecipe } from "./testing/bad-leaf.js";
import { createTestTrust } from "./testing/test-trust.js";

const trust = createTestTrust();
const leafDer = (recipe: LeafRecipe = {}) => readPem(bakeLeaf(trust, recipe).chainPem)[0]!.der;

function reasonOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (IdentityError.is(error)) return error.reason;
    throw error;
  }
  return "accepted";
}

/** The verdict on a good leaf after some surgery; signatures aren't looked at here. */
function verdict(change: (parts: { tbs: Der[]; outer: Der[] }) => void): string {
  const root = parseDer(leafDer(), maxCertificateBytes);
  const outer = root.value as Der[];
  change({ outer, tbs: outer[0]!.value as Der[] });
  const raw = encodeDer(root);
  return reasonOf(() => readCertificate(raw));
}

describe("a certificate", () => {
  test("that was only taken apart and put together is read", () => {
    expect(verdict(() => {})).toBe("accepted");
  });

  test("of another version is refused", () => {
    const change = ({ tbs }: { tbs: Der[] }) => {
      tbs[0] = derContext(0, derInteger(Buffer.from([1])));
    };
    expect(verdict(change)).toBe("certificate-version");
  });

  test("with something behind its extensions, or something else in their place, is refused", () => {
    expect(verdict(({ tbs }) => void tbs.push(derContext(4, derInteger(Buffer.from([1])))))).toBe(
      "certificate-malformed",
    );
    const change = ({ tbs }: { tbs: Der[] }) => {
      tbs[7] = derContext(2, ...(tbs[7]!.value as Der[]));
    };
    expect(verdict(change)).toBe("certificate-malformed");
  });

  test("with two lists of extensions is refused", () => {
    const change = ({ tbs }: { tbs: Der[] }) => {
      const [list] = tbs[7]!.value as Der[];
      tbs[7] = derContext(3, list!, list!);
    };
    expect(verdict(change)).toBe("certificate-malformed");
  });

  test("whose signature has another algorithm outside than inside is refused", () => {
    const change = ({ outer }: { outer: Der[] }) => {
      outer[1] = derSequence(derOid("1.2.840.10045.4.3.3"));
    };
    expect(verdict(change)).toBe("certificate-algorithm");
  });

  test("that says what goes without saying is refused", () => {
    const { extensions } = readCertificate(leafDer());
    const value = encodeDer(derSequence(derBoolean(false)));
    const constraints = { ...extensions.find(({ critical }) => critical)!, id: Buffer.from([0x55, 0x1d, 0x13]) };
    const certificate = {
      ...readCertificate(leafDer()),
      extensions: [{ ...constraints, id: constraints.id.toString("latin1"), value }],
    };
    expect(reasonOf(() => basicConstraintsOf(certificate))).toBe("der-not-canonical");
  });

  test("with a name of no kind is refused, even if it looks like a URI", () => {
    // An OBJECT IDENTIFIER has the number that URIs have.
    const { extensions } = readCertificate(leafDer({ names: [derOid("1.2.3")] }));
    expect(reasonOf(() => altNamesOf(extensions))).toBe("certificate-malformed");
  });
});
