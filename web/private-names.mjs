// private-names.mjs -- the properties that nobody outside has to know by name, so that they may be short.
//
// A name is private if every property of that name, wherever it is used in web/src, was declared in
// a class that index.ts does not export, or as `private`, or begins with "_".  The compiler says what
// each use was declared as; one use that is anything else (the page's, the package's) keeps the name.
import { createRequire } from "node:module";

const ts = createRequire(import.meta.url)("typescript");

const config = ts.getParsedCommandLineOfConfigFile("tsconfig.json", {}, { ...ts.sys, onUnRecoverableConfigFileDiagnostic() {} });
const program = ts.createProgram(config.fileNames, config.options);
const checker = program.getTypeChecker();
const ours = program.getSourceFiles().filter((file) => /\/web\/src\//.test(file.fileName));

const index = ours.find((file) => file.fileName.endsWith("/src/index.ts"));
const declared = (symbol) => (symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol);
const exported = new Set(checker.getExportsOfModule(checker.getSymbolAtLocation(index)).map(declared));

/** What a class is made from is as public as itself. */
function exportBases(file) {
  for (const node of file.statements.filter(ts.isClassDeclaration))
    for (const { types } of node.heritageClauses ?? [])
      for (const { expression } of types) exported.add(declared(checker.getSymbolAtLocation(expression)));
}
ours.forEach(exportBases);

function isPrivate(declaration, name) {
  if (!ours.includes(declaration.getSourceFile())) return false;
  if (/^_[a-z]/.test(name)) return true;
  const flags = ts.getCombinedModifierFlags(declaration);
  if (flags & ts.ModifierFlags.Private) return true;
  const owner = ts.isParameter(declaration) ? declaration.parent.parent : declaration.parent;
  return ts.isClassDeclaration(owner) && owner.heritageClauses === undefined && !exported.has(checker.getSymbolAtLocation(owner.name));
}

/** Of a name that stands for a property: what it was declared as. */
function symbolsOf(node) {
  const { parent } = node;
  if (ts.isBindingElement(parent) && ts.isObjectBindingPattern(parent.parent)) {
    if ((parent.propertyName ?? parent.name) !== node) return undefined;
    return [checker.getTypeAtLocation(parent.parent).getProperty(node.text)];
  }
  if (ts.isShorthandPropertyAssignment(parent)) return [checker.getContextualType(parent.parent)?.getProperty(node.text)];
  if (ts.isPropertyAccessExpression(parent)) return parent.name === node ? [checker.getSymbolAtLocation(node)] : undefined;
  const names = ts.isClassElement(parent) || ts.isTypeElement(parent) || ts.isPropertyAssignment(parent) ||
    (ts.isParameter(parent) && ts.isParameterPropertyDeclaration(parent, parent.parent));
  return names && parent.name === node ? [checker.getSymbolAtLocation(node)] : undefined;
}

const seen = new Map(); // name: is it private, wherever it is?
function visit(node) {
  if (ts.isIdentifier(node)) {
    for (const symbol of symbolsOf(node) ?? []) {
      const own = symbol?.declarations?.length > 0 && symbol.declarations.every((one) => isPrivate(one, node.text));
      seen.set(node.text, (seen.get(node.text) ?? true) && own);
    }
  } else if (ts.isStringLiteral(node)) {
    seen.set(node.text, false); // it might be a key
  }
  ts.forEachChild(node, visit);
}
ours.forEach(visit);

export const privateNames = [...seen].filter(([name, own]) => own && name !== "constructor").map(([name]) => name).sort();
