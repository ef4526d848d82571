// Which single checks there are in a source file, found in its syntax, and the file without each of them.
import ts from "typescript";

/** Options of TLS that are checks in themselves: what each would be if nobody had thought of it. */
const laxOptions = {
  minVersion: '"TLSv1.2"',
  requestCert: "false",
  rejectUnauthorized: "false",
  secureOptions: "0",
  checkServerIdentity: "() => undefined",
};

/**
 * @param {string} text of a TypeScript file
 * @returns {{ line: number, what: string, text: string }[]} the file without one check each
 */
export function mutantsOf(text) {
  const source = ts.createSourceFile("source.ts", text, ts.ScriptTarget.ES2023, true);
  const found = [];
  const replace = (node, replacement, what) => {
    const start = node.getStart(source);
    const line = source.getLineAndCharacterOfPosition(start).line + 1;
    const mutated = `${text.slice(0, start)}${replacement}${text.slice(node.getEnd())}`;
    found.push({ line, what: what.replace(/\s+/g, " ").slice(0, 110), text: mutated });
  };

  const visit = (node) => {
    if (isRule(node)) replace(node.parent.elements.length === 1 ? node : withComma(node), "", `rule ${node.getText()}`);
    if (ts.isIfStatement(node) && refuses(node.thenStatement)) {
      for (const part of operandsOf(node.expression, ts.SyntaxKind.BarBarToken)) {
        replace(part, "false", `if ${part.getText()}`);
      }
    }
    if (ts.isReturnStatement(node) && node.expression !== undefined && isPredicate(node)) {
      for (const part of operandsOf(node.expression, ts.SyntaxKind.AmpersandAmpersandToken)) {
        if (part !== node.expression) replace(part, "true", `return ${part.getText()}`);
      }
    }
    if (ts.isExpressionStatement(node) && isDemand(node.expression)) replace(node, ";", node.getText());
    if (ts.isPropertyAssignment(node) && node.name.getText() in laxOptions) {
      const name = node.name.getText();
      // Both what a context demands and what a connection demands is said where it is used.
      replace(node, `${name}: ${laxOptions[name]}`, `${name} of ${functionOf(node)}`);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;

  function withComma(node) {
    const next = text.indexOf(",", node.getEnd());
    return { getStart: () => node.getStart(source), getEnd: () => (next < 0 ? node.getEnd() : next + 1) };
  }
}

/** An entry of a list of rules: it has a reason, and says when it is broken. */
function isRule(node) {
  if (!ts.isObjectLiteralExpression(node) || !ts.isArrayLiteralExpression(node.parent)) return false;
  const names = node.properties.map((property) => property.name?.getText());
  return names.includes("reason") && names.includes("broken");
}

/** A statement whose end is an error of ours. */
function refuses(statement) {
  const last = ts.isBlock(statement) ? statement.statements.at(-1) : statement;
  return last !== undefined && ts.isThrowStatement(last) && /^new IdentityError\b/.test(last.expression.getText());
}

function operandsOf(expression, operator) {
  if (ts.isParenthesizedExpression(expression)) return operandsOf(expression.expression, operator);
  if (!ts.isBinaryExpression(expression) || expression.operatorToken.kind !== operator) return [expression];
  return [...operandsOf(expression.left, operator), ...operandsOf(expression.right, operator)];
}

const demand = /^(require[A-Z]\w*|admitLeaf|verifyChain|verifyLeaf|readRoots)$/;

/** A call for the sake of what it may throw. */
function isDemand(expression) {
  return ts.isCallExpression(expression) && demand.test(expression.expression.getText());
}

function isPredicate(node) {
  return /^(is|has)[A-Z]/.test(functionOf(node));
}

function functionOf(node) {
  let at = node.parent;
  while (at !== undefined && !(ts.isFunctionDeclaration(at) && at.name !== undefined)) at = at.parent;
  return at?.name.text ?? "";
}
