import type { Refusal } from "@selvage/policy";
import * as z from "zod";
import { parseDnsName, parseHostPort } from "./address.js";
import type { HostPort } from "./config.js";
import { parseDuration } from "./duration.js";

/** What is known of a field beyond its type. The only place where defaults are written down. */
export interface FieldMeta {
  /** What it means, in a sentence without a capital and full stop. */
  readonly doc: string;
  /** As it would be written. Absent: there is none. */
  readonly default?: unknown;
  /** For defaults that depend on something, in words. */
  readonly defaultText?: string;
  readonly unit?: string;
  /** How the documentation calls its type, where that isn't obvious. */
  readonly type?: string;
  /** Its absence means something, so the defaults of its fields count only when it is there. */
  readonly optional?: boolean;
}

export const fieldMetas = z.registry<FieldMeta>();

/** A field that may be left out. */
export function field<S extends z.ZodType>(schema: S, meta: FieldMeta): z.ZodOptional<S> {
  const optional = schema.optional();
  fieldMetas.add(optional, meta);
  return optional;
}

/** A field that must be there. */
export function required<S extends z.ZodType>(schema: S, meta: FieldMeta): S {
  const own = schema.clone();
  fieldMetas.add(own, meta);
  return own;
}

/** Text that a function reads, or refuses with problem and remedy. */
export function parsed<T>(read: (text: string) => T | Refusal): z.ZodType<T, string> {
  return z.string().transform((text, context) => settle(read(text), context));
}

/** Text that a function may refuse. */
export function checked(refuse: (text: string) => Refusal | null): z.ZodType<string, string> {
  return parsed((text) => refuse(text) ?? text);
}

function settle<T>(result: T | Refusal, context: z.RefinementCtx): T {
  if (typeof result !== "object" || result === null || !("problem" in result)) return result as T;
  context.addIssue({ code: "custom", message: result.problem, params: { remedy: result.remedy } });
  return z.NEVER;
}

/** Milliseconds, written as a number or as text with units. */
export const duration: z.ZodType<number, number | string> = z
  .union([z.string(), z.number()])
  .transform((value, context) => settle(parseDuration(value), context));

/** A duration above zero. */
export const positiveDuration: z.ZodType<number, number | string> = duration.refine((ms) => ms > 0, {
  error: "must be above 0",
});

export const hostPort: z.ZodType<HostPort, string> = parsed(parseHostPort);
export const dnsName: z.ZodType<HostPort, string> = parsed(parseDnsName);

export const port = z.int().min(0).max(65_535);
export const count = z.int().min(0).max(4_294_967_295);
export const ratio = z.number().min(0).max(1000);
export const text = z.string().min(1);
