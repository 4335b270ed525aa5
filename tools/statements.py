"""Which statements of a source some of its names depend on: what an experiment or a training is hashed by."""

import ast
import dis
import types


def needed(source, *wanted):
    """The top-level statements of `source` on which the names `wanted` depend, in their order.

    A statement that changes what a name holds, such as `list.append`, is seen only where it assigns:
    `recipes["mine"] = ...` is, a call is not, and one inside of a loop or a condition is refused.
    """
    statements = ast.parse(source).body
    known = [names(compiled([statement])) for statement in statements]
    refused = []
    for (binds, _), statement in zip(known, statements, strict=True):
        if isinstance(statement, (ast.Assign, ast.AugAssign, ast.AnnAssign)):
            binds |= _filled(statement)
        refused.append(_filled(statement) - binds)
    kept, waiting = set(), set(wanted)
    while waiting:
        name = waiting.pop()
        for i, (binds, loads) in enumerate(known):
            if name in refused[i]:
                raise ValueError(f"{name!r} is filled in a loop or a condition: fill it in a statement of its own.")
            if name in binds and i not in kept:
                kept.add(i)
                waiting |= loads
    return [statements[i] for i in sorted(kept)]


def _filled(statement):
    """Names of which a statement assigns members when it is run, however deep inside."""
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        return set()
    names = set()
    for node in ast.walk(statement):
        if isinstance(node, (ast.Subscript, ast.Attribute)) and isinstance(node.ctx, ast.Store):
            while isinstance(node, (ast.Subscript, ast.Attribute)):
                node = node.value
            names |= {node.id} if isinstance(node, ast.Name) else set()
    return names


def names(code):
    """(names that a piece of code binds at top level, names that it looks up there, inside of functions as well)."""
    binds, loads = set(), set()
    for step in dis.get_instructions(code):
        if step.opname in ("STORE_NAME", "STORE_GLOBAL"):
            binds.add(step.argval)
        elif step.opname in ("LOAD_NAME", "LOAD_GLOBAL"):
            loads.add(step.argval)
    for inner in _inside(code):
        more_binds, more_loads = names(inner)
        loads |= more_loads | more_binds
    return binds - {"__doc__"}, loads


def parts_used(code):
    """What code takes of the names it looks up at top level: pairs such as ("losses", "hinge"), or ("losses", "*")."""
    steps = list(dis.get_instructions(code))
    found = set()
    for step, after in zip(steps, steps[1:] + steps[:1], strict=True):
        if step.opname in ("LOAD_NAME", "LOAD_GLOBAL"):
            found.add((step.argval, after.argval if after.opname in ("LOAD_ATTR", "LOAD_METHOD") else "*"))
    return found.union(*map(parts_used, _inside(code)))


def _inside(code):
    return [inner for inner in code.co_consts if isinstance(inner, types.CodeType)]


def compiled(statements):
    return compile(ast.Module(statements, []), "cell", "exec")
