export { parseBundle, parseBundleDocument, writeBundleDocument } from "./bundle-document.js";
export type { BundleEndpoint, BundleEndpointProfile } from "./bundle-fetch.js";
export { fetchBundle } from "./bundle-fetch.js";
export type { CaSourceOptions } from "./ca-source.js";
export { caSourceDefaults, createCaSource } from "./ca-source.js";
export type { CertifyRequest, CertifyResponse } from "./certify-rpc.js";
export type { DevSourceOptions } from "./dev-source.js";
export { createDevSource, devSourceDefaults } from "./dev-source.js";
export type { FederationOptions, FederationRelation } from "./federation.js";
export { federationDefaults, withFederation } from "./federation.js";
export type { FilesSourceOptions } from "./files-source.js";
export { createFilesSource, filesSourceDefaults } from "./files-source.js";
export type { IdentityErrorOptions, IdentityReason } from "./identity-error.js";
export { IdentityError } from "./identity-error.js";
export type { AuditFile } from "./identity-service/audit-file.js";
export { openAuditFile } from "./identity-service/audit-file.js";
export type {
  AuthorityDirectory,
  AuthorityLifetimes,
  CertificateSummary,
  RootRotationOptions,
  RootRotationStep,
} from "./identity-service/authority-files.js";
export {
  initAuthority,
  inspectAuthority,
  issuerPathsOf,
  readAuthorityBundle,
  readTrustDomain,
  rotateIssuer,
  rotateRoot,
} from "./identity-service/authority-files.js";
export type { RunningBundleEndpoint } from "./identity-service/bundle-endpoint.js";
export { bundlePath, serveBundle } from "./identity-service/bundle-endpoint.js";
export type { Authenticator, Caller, CallerKind } from "./identity-service/caller.js";
export type { IdentityServer, IdentityServerOptions } from "./identity-service/identity-server.js";
export { serveIdentity } from "./identity-service/identity-server.js";
export type {
  CertifyContext,
  IdentityService,
  IdentityServiceOptions,
  IdentityServiceStatus,
} from "./identity-service/identity-service.js";
export { createIdentityService, identityServiceDefaults } from "./identity-service/identity-service.js";
export type { IssuerPaths, LoadedIssuer } from "./identity-service/issuer-files.js";
export type { JoinTokenSummary, JoinTokenTerms } from "./identity-service/join-tokens.js";
export {
  createJoinToken,
  createJoinTokenAuthenticator,
  listJoinTokens,
  revokeJoinToken,
  sweepJoinTokens,
} from "./identity-service/join-tokens.js";
export type { JwtAuthenticatorOptions } from "./identity-service/jwt-authenticator.js";
export { createJwtAuthenticator } from "./identity-service/jwt-authenticator.js";
export { parseKeySet } from "./identity-service/key-set.js";
export type { KubernetesAuthenticatorOptions } from "./identity-service/kubernetes-authenticator.js";
export { createKubernetesAuthenticator } from "./identity-service/kubernetes-authenticator.js";
export type { RateLimitConfig } from "./identity-service/rate-limit.js";
export type { CertifyRule, CertifyRules } from "./identity-service/rules.js";
export { parseRules } from "./identity-service/rules.js";
export type { IdentitySnapshot, IdentitySource, TrustBundle } from "./identity-source.js";
export type { InspectionAddress } from "./inspection/inspect-address.js";
export { inspectAddress } from "./inspection/inspect-address.js";
export { inspectMaterial } from "./inspection/inspect-material.js";
export type { Inspection, InspectionProblem, InspectionTerms } from "./inspection/inspection.js";
export type { PeerIdentity, PeerIdentityOptions } from "./peer-identity.js";
export { peerIdentity } from "./peer-identity.js";
export type { Rotation, RotationOptions } from "./rotation.js";
export { alarmParts, createRotation, rotationDefaults } from "./rotation.js";
export type { SnapshotTerms, SvidMaterial } from "./snapshot.js";
export { createSnapshot } from "./snapshot.js";
export type { Schedule } from "./snapshot-source.js";
export type { IdKind } from "./spiffe-id.js";
export { requireTrustDomain, SpiffeId } from "./spiffe-id.js";
export type { SpiffeSourceOptions } from "./spiffe-source.js";
export { createSpiffeSource, spiffeSourceDefaults } from "./spiffe-source.js";
export { clientTlsOptions, serverTlsOptions } from "./tls-options.js";
