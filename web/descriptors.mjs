// descriptors.mjs -- protoc-c's descriptors in the short form of wasm/include/protobuf-c/protobuf-c.h.
//
//     node descriptors.mjs IN.pb-c.c OUT.c
//
// Of a field: whether it is repeated, its type, and whose message it is, as a place in a table of those; it stands
// where its number says.  Of a message:
// its fields and how large its struct is.  That its members lie one behind the other in the order of
// their numbers, as protobuf_c_small.c takes them to, is asserted where the compiler can say no; only
// of Frame, whose bodies share their place and which is never unpacked, it would not be true.
import { readFileSync, writeFileSync } from "node:fs";

const [from, to] = process.argv.slice(2);
const text = readFileSync(from, "utf8").replace(/\/\*[^]*?\*\//g, "");

const nested = []; // the messages that are fields
function placeOf(descriptor) {
  if (!nested.includes(descriptor)) nested.push(descriptor);
  return nested.indexOf(descriptor);
}

function fieldsOf(name) {
  const table = text.match(new RegExp(`ProtobufCFieldDescriptor ${name}__field_descriptors\\[\\d+\\] =\\s*\\{([^]*?)\\n\\};`));
  return [...(table?.[1] ?? "").matchAll(/\{([^{}]*)\}/g)].map(([, entry], i) => {
    const [, id, label, type] = entry.split(",").map((part) => part.trim());
    if (Number(id) !== i + 1) throw new Error(`${name}: field ${id} is not the next one`);
    const members = [...entry.matchAll(/offsetof\(\w+, (\w+)\)/g)].map(([, member]) => member);
    return { label, type, members, of: type === "PROTOBUF_C_TYPE_MESSAGE" ? placeOf(entry.match(/&\w+/)[0]) : 0 };
  });
}

const out = [
  `#include "syncline.pb-c.h"`,
  "#define MEMBER(struct, name) (((struct *)0)->name)",
  "#define BEHIND(struct, before, name) \\",
  "  _Static_assert(offsetof(struct, name) == ((offsetof(struct, before) + sizeof MEMBER(struct, before) + \\",
  "    _Alignof(__typeof__(MEMBER(struct, name))) - 1) & -_Alignof(__typeof__(MEMBER(struct, name)))), #name)",
];
for (const [, name, struct] of text.matchAll(/^const ProtobufCMessageDescriptor (\w+)__descriptor =[^]*?sizeof\((\w+)\)/gm)) {
  const fields = fieldsOf(name);
  const members = ["base", ...fields.flatMap((field) => field.members)];
  if (struct !== "Syncline__V1__Frame")
    members.slice(1).forEach((member, i) => out.push(`BEHIND(${struct}, ${members[i]}, ${member});`));
  out.push(
    `_Static_assert(sizeof(${struct}) < 256, "sizeof_message");`,
    `static const ProtobufCFieldDescriptor ${name}__fields[] = {`,
    ...fields.map(({ label, type, of }) => `  {.of = ${of}, .label = ${label}, .type = ${type}},`),
    "};",
    `const ProtobufCMessageDescriptor ${name}__descriptor = {`,
    `  .fields = ${name}__fields, .n_fields = ${fields.length}, .sizeof_message = sizeof(${struct})};`,
    `${struct} *${name}__unpack(ProtobufCAllocator *allocator, size_t len, const uint8_t *data)`,
    `{\n  return (${struct} *)protobuf_c_message_unpack(&${name}__descriptor, allocator, len, data);\n}`,
  );
}
out.push(`const ProtobufCMessageDescriptor *const protobuf_c_nested[] = {${nested.join(", ")}};`);
writeFileSync(to, out.join("\n") + "\n");
