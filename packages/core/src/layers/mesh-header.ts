const clientCertificate = "x-forwarded-client-cert";

/**
 * Whether only the mesh may set a header: `l5d-…`, also with underscores, since CGI-like servers make no difference.
 * Names are lower case.
 */
export function isMeshHeader(name: string): boolean {
  // 108 is "l"; 45 is "-", 95 is "_".
  if (name.charCodeAt(0) !== 108 || !name.startsWith("l5d")) return false;
  const separator = name.charCodeAt(3);
  return separator === 45 || separator === 95;
}

/** Whether a header claims an identity, and must not come in from outside: mesh headers and Envoy's `x-forwarded-client-cert`. */
export function claimsIdentity(name: string): boolean {
  const first = name.charCodeAt(0);
  if (first === 108) return isMeshHeader(name);
  // 120 is "x".
  return first === 120 && name.length === clientCertificate.length && name.replaceAll("_", "-") === clientCertificate;
}
