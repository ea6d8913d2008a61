//! What a component may be, judged before it is compiled.
//!
//! Invariant: the time and memory of a compilation are bounded by what is counted here. They are not in
//! proportion to a component's bytes: a function of 7 KiB whose loops are nested 1,000 deep takes a
//! compiler a minute, and components that instantiate each other a few times each make more instances
//! than there is memory.

use super::component::{Reason, Surface};
use super::limits;
use wasmparser::{
    BinaryReaderError, ComponentAlias, ComponentInstance, ComponentOuterAliasKind,
    ComponentTypeRef, CompositeInnerType, ConstExpr, DataKind, Element, ElementItems, ElementKind,
    FunctionBody, Operator, Parser, Payload, TableInit, TypeSectionReader,
};

/// Refuses a component that is beyond the bounds; gives what it imports and exports.
pub(super) fn check(bytes: &[u8]) -> Result<Surface, Reason> {
    let mut count = Count::default();
    for payload in Parser::new(0).parse_all(bytes) {
        count.payload(payload?)?;
    }
    count.instances()?;
    Ok(count.surface)
}

impl From<BinaryReaderError> for Reason {
    fn from(error: BinaryReaderError) -> Reason {
        let text = super::text::one_line(&error.to_string(), limits::TEXT_MAX);
        Reason::Unusable(text)
    }
}

/// Refuses `found` of what may be `most`.
fn at_most(most: u64, found: u64, what: &'static str) -> Result<(), Reason> {
    if found > most { Err(Reason::Beyond { what, found, most }) } else { Ok(()) }
}

#[derive(Default)]
struct Count {
    surface: Surface,
    /// The parts that enclose what is being read: for a component, the components that it has
    /// instantiated so far.
    within: Vec<u64>,
    /// The most components that one component of each depth instantiates.
    instantiated: Vec<u64>,
    parts: u64,
    functions: u64,
    code: u64,
    work: u64,
}

impl Count {
    fn payload(&mut self, payload: Payload<'_>) -> Result<(), Reason> {
        match payload {
            Payload::Version { .. } => {
                self.within.push(0);
                self.parts += 1;
                at_most(limits::PARTS_MAX, self.parts, "modules and components")?;
                at_most(limits::NESTED_MAX, self.within.len() as u64, "levels of components")?;
            }
            Payload::End(_) => {
                let instantiated = self.within.pop().unwrap_or(0);
                let depth = self.within.len();
                if self.instantiated.len() <= depth {
                    self.instantiated.resize(depth + 1, 0);
                }
                self.instantiated[depth] = self.instantiated[depth].max(instantiated);
            }
            Payload::TypeSection(types) => signatures(types)?,
            Payload::GlobalSection(globals) => {
                for global in globals {
                    constant(&global?.init_expr)?;
                }
            }
            Payload::TableSection(tables) => {
                for table in tables {
                    if let TableInit::Expr(value) = &table?.init {
                        constant(value)?;
                    }
                }
            }
            Payload::ElementSection(elements) => {
                for element in elements {
                    constants(element?)?;
                }
            }
            Payload::DataSection(data) => {
                for piece in data {
                    if let DataKind::Active { offset_expr, .. } = &piece?.kind {
                        constant(offset_expr)?;
                    }
                }
            }
            Payload::CodeSectionEntry(body) => self.function(&body)?,
            Payload::ComponentCanonicalSection(functions) => {
                self.functions += u64::from(functions.count());
                at_most(limits::FUNCTIONS_MAX, self.functions, "functions")?;
            }
            Payload::ComponentInstanceSection(instances) => {
                for instance in instances {
                    if let ComponentInstance::Instantiate { .. } = instance?
                        && let Some(instantiated) = self.within.last_mut()
                    {
                        *instantiated += 1;
                    }
                }
            }
            Payload::ComponentAliasSection(aliases) => {
                for alias in aliases {
                    if let ComponentAlias::Outer {
                        kind: ComponentOuterAliasKind::Component, ..
                    } = alias?
                    {
                        return Err(Reason::Borrowed);
                    }
                }
            }
            Payload::ComponentImportSection(imports) => {
                for import in imports {
                    let import = import?;
                    if let ComponentTypeRef::Component(_) = import.ty {
                        return Err(Reason::Borrowed);
                    }
                    if self.within.len() == 1 {
                        self.surface.imports.push(import.name.name.to_owned());
                    }
                }
            }
            Payload::ComponentExportSection(exports) if self.within.len() == 1 => {
                for export in exports {
                    self.surface.exports.push(export?.name.name.to_owned());
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn function(&mut self, body: &FunctionBody<'_>) -> Result<(), Reason> {
        let size = body.range().len() as u64;
        let Nesting { blocks, loops, relocates } = nesting(body)?;
        match relocates {
            true => at_most(limits::RELOCATIONS_MAX, size, "bytes of relocations")?,
            false => at_most(limits::FUNCTION_MAX, size, "bytes in one function")?,
        }
        let mut locals = 0;
        for group in body.get_locals_reader()? {
            locals += u64::from(group?.0);
        }
        at_most(limits::LOCALS_MAX, locals, "local variables in one function")?;
        self.functions += 1;
        at_most(limits::FUNCTIONS_MAX, self.functions, "functions")?;
        self.code += size;
        at_most(limits::CODE_MAX, self.code, "bytes of code")?;
        let nested = limits::BLOCK_WORK * blocks + limits::LOOP_WORK * loops;
        let own = if relocates { limits::RELOCATION_WORK * size } else { size * size };
        self.work += own + locals * (limits::LOCAL_WORK * size + nested);
        at_most(limits::WORK_MAX, self.work, "steps to compile its large functions")
    }

    /// Bounds the components that are instantiated, by what each contains: one has no other to
    /// instantiate.
    fn instances(&self) -> Result<(), Reason> {
        let deepest_first = self.instantiated.iter().rev();
        let all =
            deepest_first.fold(0, |below: u64, here| here.saturating_mul(below.saturating_add(1)));
        at_most(limits::INSTANTIATED_MAX, all, "instances of components")
    }
}

fn signatures(types: TypeSectionReader<'_>) -> Result<(), Reason> {
    for group in types {
        for kind in group?.types() {
            if let CompositeInnerType::Func(function) = &kind.composite_type.inner {
                let (takes, gives) = (function.params().len(), function.results().len());
                at_most(limits::PARAMETERS_MAX, takes as u64, "parameters of one function")?;
                at_most(limits::RESULTS_MAX, gives as u64, "results of one function")?;
            }
        }
    }
    Ok(())
}

/// Bounds the constants of elements.
fn constants(element: Element<'_>) -> Result<(), Reason> {
    if let ElementKind::Active { offset_expr, .. } = &element.kind {
        constant(offset_expr)?;
    }
    if let ElementItems::Expressions(_, values) = element.items {
        for value in values {
            constant(&value?)?;
        }
    }
    Ok(())
}

fn constant(value: &ConstExpr<'_>) -> Result<(), Reason> {
    let mut operators = 0;
    for operator in value.get_operators_reader() {
        if !matches!(operator?, Operator::End) {
            operators += 1;
        }
    }
    at_most(limits::CONSTANT_MAX, operators, "operators of one constant")
}

struct Nesting {
    /// Of all blocks of a function, the sum of the blocks around each, itself included.
    blocks: u64,
    /// The same of its loops.
    loops: u64,
    /// It only adds to addresses and stores them, a few at a time. Branches, or many values at once, would make a
    /// compiler's time square.
    relocates: bool,
}

fn nesting(body: &FunctionBody<'_>) -> Result<Nesting, Reason> {
    let mut within = Vec::new();
    let mut loops = 0;
    let mut sum = Nesting { blocks: 0, loops: 0, relocates: false };
    let mut operands = Some(0);
    for operator in body.get_operators_reader()? {
        let operator = operator?;
        operands = operands.and_then(|before| relocated(&operator, before));
        match operator {
            Operator::Block { .. } | Operator::If { .. } => within.push(false),
            Operator::Loop { .. } => {
                within.push(true);
                loops += 1;
                at_most(limits::LOOPS_MAX, loops, "loops within each other")?;
                sum.loops += loops;
            }
            Operator::End => {
                if let Some(true) = within.pop() {
                    loops -= 1;
                }
                continue;
            }
            _ => continue,
        }
        at_most(limits::BLOCKS_MAX, within.len() as u64, "blocks within each other")?;
        sum.blocks += within.len() as u64;
    }
    sum.relocates = operands.is_some();
    Ok(sum)
}

/// How many operands there are after one operator of relocations; nothing after any other, and where there are too many.
fn relocated(operator: &Operator<'_>, before: u64) -> Option<u64> {
    let after = match operator {
        Operator::I32Const { .. } | Operator::GlobalGet { .. } => before + 1,
        Operator::I32Load { .. } | Operator::End => before,
        Operator::I32Add => before.checked_sub(1)?,
        Operator::I32Store { .. } => before.checked_sub(2)?,
        _ => return None,
    };
    (after <= limits::RELOCATED_MAX).then_some(after)
}
