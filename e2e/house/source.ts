// What the rules want to know about one TypeScript file: its imports, the globals it touches, its functions and the
// names it declares. Called by the rules of this folder. One parse by the compiler's own parser; no type information.
import ts from 'typescript';

export interface Located {
  readonly name: string;
  readonly line: number;
}

export interface FunctionSpan extends Located {
  readonly lineCount: number;
}

export interface SourceFacts {
  /** Specifiers of import and export declarations and of dynamic imports. */
  readonly imports: readonly Located[];
  /** Names read that the file itself declares nowhere: `Date`, `process`; and two-part ones: `Math.random`. */
  readonly globals: readonly Located[];
  readonly functions: readonly FunctionSpan[];
  readonly declared: readonly Located[];
}

const parsed = new Map<string, SourceFacts>();

/** Facts of a file; parsed once per text. */
export function factsOf(text: string): SourceFacts {
  const known = parsed.get(text);
  if (known !== undefined) return known;
  const facts = parse(text);
  parsed.set(text, facts);
  return facts;
}

function parse(text: string): SourceFacts {
  const file = ts.createSourceFile('file.ts', text, ts.ScriptTarget.ESNext, true);
  const imports: Located[] = [];
  const functions: FunctionSpan[] = [];
  const declared: Located[] = [];
  const read: Located[] = [];
  const lineOf = (position: number): number => file.getLineAndCharacterOfPosition(position).line + 1;

  const visit = (node: ts.Node): void => {
    const line = lineOf(node.getStart(file));
    const specifier = importSpecifier(node);
    if (specifier !== null) imports.push({ name: specifier, line });
    if (ts.isFunctionLike(node) && 'body' in node && node.body !== undefined) {
      functions.push({ name: functionName(node), line, lineCount: lineOf(node.end) - line + 1 });
    }
    if (ts.isIdentifier(node)) {
      if (isDeclaredName(node)) declared.push({ name: node.text, line });
      else if (isRead(node)) read.push({ name: withMember(node), line });
    }
    ts.forEachChild(node, visit);
  };
  visit(file);

  const own = new Set(declared.map((entry) => entry.name));
  const globals = read.filter((entry) => !own.has(entry.name.split('.')[0] ?? entry.name));
  return { imports, globals, functions, declared };
}

function importSpecifier(node: ts.Node): string | null {
  if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) {
    return node.moduleSpecifier !== undefined && ts.isStringLiteral(node.moduleSpecifier) ? node.moduleSpecifier.text : null;
  }
  if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
    const first = node.arguments[0];
    return first !== undefined && ts.isStringLiteralLike(first) ? first.text : '(computed)';
  }
  return null;
}

function functionName(node: ts.SignatureDeclaration): string {
  if (node.name !== undefined) return node.name.getText();
  if (ts.isVariableDeclaration(node.parent)) return node.parent.name.getText();
  return ts.isConstructorDeclaration(node) ? 'constructor' : 'an unnamed function';
}

function isDeclaredName(node: ts.Identifier): boolean {
  const { parent } = node;
  const isNamed = ts.isVariableDeclaration(parent) || ts.isParameter(parent) || ts.isBindingElement(parent);
  const isOther = ts.isImportSpecifier(parent) || ts.isImportClause(parent) || ts.isNamespaceImport(parent);
  const isType = ts.isInterfaceDeclaration(parent) || ts.isTypeAliasDeclaration(parent) || ts.isTypeParameterDeclaration(parent);
  const isCode = ts.isFunctionDeclaration(parent) || ts.isFunctionExpression(parent) || ts.isClassDeclaration(parent);
  return (isNamed || isOther || isType || isCode) && parent.name === node;
}

/** True where the identifier stands for a value or a type by itself, not for a member of something. */
function isRead(node: ts.Identifier): boolean {
  const { parent } = node;
  if (ts.isPropertyAccessExpression(parent) && parent.name === node) return parent.expression.getText() === 'globalThis';
  if (ts.isQualifiedName(parent) && parent.right === node) return false;
  const isMember =
    ts.isPropertyAssignment(parent) ||
    ts.isPropertyDeclaration(parent) ||
    ts.isPropertySignature(parent) ||
    ts.isMethodDeclaration(parent) ||
    ts.isMethodSignature(parent) ||
    ts.isGetAccessor(parent) ||
    ts.isSetAccessor(parent) ||
    ts.isNamedTupleMember(parent);
  if (isMember) return parent.name !== node;
  if (ts.isBindingElement(parent)) return parent.propertyName !== node;
  if (ts.isImportSpecifier(parent) || ts.isExportSpecifier(parent)) return false;
  return true;
}

function withMember(node: ts.Identifier): string {
  const { parent } = node;
  const isOwner = ts.isPropertyAccessExpression(parent) && parent.expression === node;
  return isOwner && MEMBERS_THAT_MATTER.has(`${node.text}.${parent.name.text}`) ? `${node.text}.${parent.name.text}` : node.text;
}

const MEMBERS_THAT_MATTER: ReadonlySet<string> = new Set(['Math.random', 'AbortSignal.timeout']);
