// Packages that bring no types. What they are used for here is checked by running it.
declare module "compression";
declare module "express";
declare module "express4";
declare module "koa";
declare module "multer";
declare module "supertest";
declare module "ws";
