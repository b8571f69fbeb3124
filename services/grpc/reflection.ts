import { readFileSync } from "node:fs";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import type { Server } from "@grpc/grpc-js";
import { ReflectionService } from "@grpc/reflection";

/** What @grpc/reflection keeps of the files it was given, by full name. */
interface Index {
  readonly symbols: Record<string, unknown>;
  readonly services: Record<string, unknown>;
}

/** Answers server reflection with the files' own descriptors, so that tools like grpcurl need no copies of them. */
export function addReflection(server: Server): void {
  const fileDescriptorProtos = ["echo", "health"].flatMap(readDescriptors);
  const service = new ReflectionService({ files: { format: "", type: {}, fileDescriptorProtos } as never });
  const { v1, v1Alpha } = service as unknown as { v1: Index; v1Alpha: Index };
  for (const index of [v1.symbols, v1.services, v1Alpha.symbols, v1Alpha.services]) withoutLeadingDot(index);
  service.addToServer(server);
}

/** The files of one descriptor set that `npm run generate` made, each encoded by itself. */
function readDescriptors(name: string): Buffer[] {
  const set = readFileSync(new URL(`gen/${name}.binpb`, import.meta.url));
  return fromBinary(FileDescriptorSetSchema, set).file.map((file) =>
    Buffer.from(toBinary(FileDescriptorProtoSchema, file)),
  );
}

/** @grpc/reflection 1.0.4 writes `.Echo` for what is in no package; its clients ask for `Echo`. */
function withoutLeadingDot(index: Record<string, unknown>): void {
  for (const [name, value] of Object.entries(index)) {
    if (!name.startsWith(".")) continue;
    index[name.slice(1)] = value;
    delete index[name];
  }
}
