//! The schema that the twin serves, and the rules by which a query is refused.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use graphql_parser::query::{
    Definition, Document, Field, FragmentDefinition, OperationDefinition, Selection, SelectionSet,
    Type as AstType, TypeCondition, Value as AstValue, VariableDefinition,
};
use graphql_parser::schema::{Definition as SchemaDefinition, TypeDefinition};
use serde_json::Value;

/// The text of the schema, for the tests that hold it against Linear's own.
pub const SCHEMA: &str = include_str!("schema.graphql");

pub(crate) type Type = AstType<'static, String>;

#[derive(Debug)]
pub(crate) enum Kind {
    /// Objects, and the one interface.
    Composite(HashMap<String, FieldType>),
    Input(HashMap<String, Type>),
    Enum(Vec<String>),
    Scalar,
}

#[derive(Debug)]
pub(crate) struct FieldType {
    pub arguments: HashMap<String, Type>,
    pub ty: Type,
}

#[derive(Debug)]
pub(crate) struct Schema(HashMap<String, Kind>);

pub(crate) static TYPES: LazyLock<Schema> = LazyLock::new(Schema::read);

impl Schema {
    fn read() -> Self {
        let document = match graphql_parser::parse_schema::<String>(SCHEMA) {
            Ok(document) => document.into_static(),
            // The text is part of the program, and a test reads it.
            Err(error) => unreachable!("the twin's schema does not parse: {error}"),
        };
        let mut types = HashMap::new();
        for name in ["String", "Int", "Float", "Boolean", "ID"] {
            types.insert(name.to_owned(), Kind::Scalar);
        }
        let composite = |fields: Vec<graphql_parser::schema::Field<'static, String>>| {
            let fields = fields.into_iter().map(|field| {
                let arguments = field.arguments.into_iter().map(|a| (a.name, a.value_type));
                let arguments = arguments.collect();
                (field.name, FieldType { arguments, ty: field.field_type })
            });
            Kind::Composite(fields.collect())
        };
        for definition in document.definitions {
            let SchemaDefinition::TypeDefinition(definition) = definition else { continue };
            let (name, kind) = match definition {
                TypeDefinition::Object(object) => (object.name, composite(object.fields)),
                TypeDefinition::Interface(object) => (object.name, composite(object.fields)),
                TypeDefinition::InputObject(input) => {
                    let fields = input.fields.into_iter().map(|f| (f.name, f.value_type));
                    (input.name, Kind::Input(fields.collect()))
                }
                TypeDefinition::Enum(values) => {
                    let names = values.values.into_iter().map(|v| v.name).collect();
                    (values.name, Kind::Enum(names))
                }
                TypeDefinition::Scalar(scalar) => (scalar.name, Kind::Scalar),
                TypeDefinition::Union(_) => continue,
            };
            types.insert(name, kind);
        }
        Self(types)
    }

    pub fn fields(&self, type_name: &str) -> Option<&HashMap<String, FieldType>> {
        match self.0.get(type_name) {
            Some(Kind::Composite(fields)) => Some(fields),
            _ => None,
        }
    }
}

/// The name inside all lists and non-nulls.
pub(crate) fn inner<'a>(ty: &'a AstType<'_, String>) -> &'a str {
    match ty {
        AstType::NamedType(name) => name,
        AstType::ListType(ty) | AstType::NonNullType(ty) => inner(ty),
    }
}

pub(crate) type Fragments<'a> = HashMap<&'a str, &'a FragmentDefinition<'static, String>>;

/// An operation that was found good, ready to run.
#[derive(Debug)]
pub(crate) struct Operation<'a> {
    pub selection: &'a SelectionSet<'static, String>,
    pub fragments: Fragments<'a>,
    pub variables: BTreeMap<String, Value>,
}

/// Picks the operation and checks it against the schema (GraphQL specification, section 5, as far
/// as a reader's queries can break it).
pub(crate) fn admit<'a>(
    document: &'a Document<'static, String>,
    name: Option<&str>,
    given: &Value,
) -> Result<Operation<'a>, String> {
    let mut operations = Vec::new();
    let mut fragments = Fragments::new();
    for definition in &document.definitions {
        match definition {
            Definition::Operation(OperationDefinition::Query(query)) => {
                operations.push((
                    query.name.as_deref(),
                    query.variable_definitions.as_slice(),
                    &query.selection_set,
                ));
            }
            Definition::Operation(OperationDefinition::SelectionSet(selection)) => {
                operations.push((None, &[], selection));
            }
            Definition::Operation(_) => {
                return Err("This twin answers queries only.".to_owned());
            }
            Definition::Fragment(fragment) => {
                fragments.insert(&fragment.name, fragment);
            }
        }
    }
    let chosen = match (name, operations.as_slice()) {
        (None, [one]) => Some(one),
        (None, _) => {
            return Err(
                "Must provide operation name if query contains multiple operations.".to_owned()
            );
        }
        (Some(name), all) => all.iter().find(|(known, ..)| *known == Some(name)),
    };
    let Some((_, definitions, selection)) = chosen else {
        return Err(format!("Unknown operation named \"{}\".", name.unwrap_or_default()));
    };
    let variables = variables(definitions, given)?;
    let check = Check { fragments: &fragments, variables: definitions };
    check.selection("Query", selection, 0)?;
    Ok(Operation { selection, fragments, variables })
}

fn variables(
    definitions: &[VariableDefinition<'static, String>],
    given: &Value,
) -> Result<BTreeMap<String, Value>, String> {
    let mut values = BTreeMap::new();
    for definition in definitions {
        let name = &definition.name;
        let value = match (given.get(name), &definition.default_value) {
            (Some(value), _) => value.clone(),
            (None, Some(default)) => literal(default, &BTreeMap::new()),
            (None, None) if matches!(definition.var_type, AstType::NonNullType(_)) => {
                let ty = &definition.var_type;
                return Err(format!(
                    "Variable \"${name}\" of required type \"{ty}\" was not provided."
                ));
            }
            (None, None) => continue,
        };
        fits(&definition.var_type, &value)
            .map_err(|why| format!("Variable \"${name}\" got invalid value {value}; {why}"))?;
        values.insert(name.clone(), value);
    }
    Ok(values)
}

/// Whether a JSON value is of this type, which is an input's or a leaf's.
pub(crate) fn fits(ty: &Type, value: &Value) -> Result<(), String> {
    match ty {
        AstType::NonNullType(_) if value.is_null() => {
            Err(format!("Expected non-nullable type \"{ty}\" not to be null."))
        }
        AstType::NonNullType(ty) => fits(ty, value),
        _ if value.is_null() => Ok(()),
        AstType::ListType(ty) => match value {
            Value::Array(values) => values.iter().try_for_each(|value| fits(ty, value)),
            one => fits(ty, one),
        },
        AstType::NamedType(name) => {
            let good = match (name.as_str(), TYPES.0.get(name)) {
                (_, Some(Kind::Input(fields))) => {
                    let Value::Object(members) = value else {
                        return Err(format!("Expected type \"{name}\" to be an object."));
                    };
                    for (member, value) in members {
                        let Some(ty) = fields.get(member) else {
                            return Err(format!(
                                "Field \"{member}\" is not defined by type \"{name}\"."
                            ));
                        };
                        fits(ty, value)?;
                    }
                    true
                }
                (_, Some(Kind::Enum(names))) => {
                    value.as_str().is_some_and(|v| names.iter().any(|n| n == v))
                }
                ("Int", _) => value.as_i64().is_some_and(|n| i32::try_from(n).is_ok()),
                ("Float", _) => value.is_number(),
                ("Boolean", _) => value.is_boolean(),
                ("String", _) => value.is_string(),
                ("ID", _) => value.is_string() || value.is_i64(),
                (_, Some(Kind::Scalar)) => value.is_string(),
                // Only its absence can be judged here.
                (_, Some(Kind::Composite(_))) => true,
                _ => return Err(format!("Unknown type \"{name}\".")),
            };
            if good { Ok(()) } else { Err(format!("{name} cannot represent value: {value}")) }
        }
    }
}

/// The JSON value of an argument, its variables filled in. An absent variable is null.
pub(crate) fn literal(
    value: &AstValue<'static, String>,
    variables: &BTreeMap<String, Value>,
) -> Value {
    match value {
        AstValue::Variable(name) => variables.get(name).cloned().unwrap_or_default(),
        AstValue::Int(number) => number.as_i64().into(),
        AstValue::Float(number) => (*number).into(),
        AstValue::String(text) => text.as_str().into(),
        AstValue::Enum(name) => name.as_str().into(),
        AstValue::Boolean(value) => (*value).into(),
        AstValue::Null => Value::Null,
        AstValue::List(values) => values.iter().map(|value| literal(value, variables)).collect(),
        AstValue::Object(members) => {
            let members = members.iter().filter(|(_, value)| match value {
                // An absent variable leaves its field out.
                AstValue::Variable(name) => variables.contains_key(name),
                _ => true,
            });
            members.map(|(name, value)| (name.clone(), literal(value, variables))).collect()
        }
    }
}

/// Deeper than any real query, and far from the end of the stack.
const DEPTH: usize = 50;

struct Check<'a> {
    fragments: &'a Fragments<'a>,
    variables: &'a [VariableDefinition<'static, String>],
}

impl Check<'_> {
    fn selection(
        &self,
        type_name: &str,
        set: &SelectionSet<'static, String>,
        depth: usize,
    ) -> Result<(), String> {
        if depth > DEPTH {
            return Err("The query is nested too deeply.".to_owned());
        }
        for selection in &set.items {
            match selection {
                Selection::Field(field) => self.field(type_name, field, depth)?,
                Selection::FragmentSpread(spread) => {
                    let Some(fragment) = self.fragments.get(spread.fragment_name.as_str()) else {
                        return Err(format!("Unknown fragment \"{}\".", spread.fragment_name));
                    };
                    let TypeCondition::On(on) = &fragment.type_condition;
                    self.condition(type_name, on)?;
                    self.selection(on, &fragment.selection_set, depth + 1)?;
                }
                Selection::InlineFragment(inline) => {
                    let on = match &inline.type_condition {
                        Some(TypeCondition::On(on)) => on.as_str(),
                        None => type_name,
                    };
                    self.condition(type_name, on)?;
                    self.selection(on, &inline.selection_set, depth + 1)?;
                }
            }
        }
        Ok(())
    }

    fn condition(&self, type_name: &str, on: &str) -> Result<(), String> {
        match TYPES.fields(on) {
            Some(_) if on == type_name || on == "Node" || type_name == "Node" => Ok(()),
            Some(_) => Err(format!(
                "Fragment cannot be spread here as objects of type \"{type_name}\" can never be \
                 of type \"{on}\"."
            )),
            None => Err(format!("Unknown type \"{on}\".")),
        }
    }

    fn field(
        &self,
        type_name: &str,
        field: &Field<'static, String>,
        depth: usize,
    ) -> Result<(), String> {
        let name = field.name.as_str();
        if name == "__typename" {
            return Ok(());
        }
        let known = TYPES.fields(type_name).and_then(|fields| fields.get(name));
        let Some(known) = known else {
            return Err(format!("Cannot query field \"{name}\" on type \"{type_name}\"."));
        };
        for (argument, value) in &field.arguments {
            let Some(ty) = known.arguments.get(argument) else {
                return Err(format!(
                    "Unknown argument \"{argument}\" on field \"{type_name}.{name}\"."
                ));
            };
            self.argument(ty, value).map_err(|why| format!("Argument \"{argument}\": {why}"))?;
        }
        for (argument, ty) in &known.arguments {
            let given = field.arguments.iter().any(|(name, _)| name == argument);
            if matches!(ty, AstType::NonNullType(_)) && !given {
                return Err(format!(
                    "Field \"{name}\" argument \"{argument}\" of type \"{ty}\" is required, but \
                     it was not provided."
                ));
            }
        }
        let of = inner(&known.ty);
        match (TYPES.fields(of), field.selection_set.items.is_empty()) {
            (Some(_), true) => Err(format!(
                "Field \"{name}\" of type \"{}\" must have a selection of subfields.",
                known.ty
            )),
            (None, false) => Err(format!(
                "Field \"{name}\" must not have a selection since type \"{}\" has no subfields.",
                known.ty
            )),
            (Some(_), false) => self.selection(of, &field.selection_set, depth + 1),
            (None, true) => Ok(()),
        }
    }

    /// Variables must be declared with the type that their place asks for; the rest is checked as
    /// a value.
    fn argument(&self, ty: &Type, value: &AstValue<'static, String>) -> Result<(), String> {
        match (ty, value) {
            (_, AstValue::Variable(name)) => {
                let declared = self.variables.iter().find(|v| v.name == *name);
                let Some(declared) = declared else {
                    return Err(format!("Variable \"${name}\" is not defined."));
                };
                let has_default = declared.default_value.is_some();
                if goes_into(&declared.var_type, ty, has_default) {
                    Ok(())
                } else {
                    Err(format!(
                        "Variable \"${name}\" of type \"{}\" used in position expecting type \
                         \"{ty}\".",
                        declared.var_type
                    ))
                }
            }
            (AstType::NonNullType(ty), value) => self.argument(ty, value),
            (AstType::ListType(ty), AstValue::List(values)) => {
                values.iter().try_for_each(|value| self.argument(ty, value))
            }
            (AstType::ListType(ty), value) => self.argument(ty, value),
            (AstType::NamedType(name), AstValue::Object(members)) => {
                let Some(Kind::Input(fields)) = TYPES.0.get(name) else {
                    return Err(format!("{name} cannot represent an object."));
                };
                members.iter().try_for_each(|(member, value)| match fields.get(member) {
                    Some(ty) => self.argument(ty, value),
                    None => Err(format!("Field \"{member}\" is not defined by type \"{name}\".")),
                })
            }
            (AstType::NamedType(name), AstValue::Enum(value)) => match TYPES.0.get(name) {
                Some(Kind::Enum(names)) if names.iter().any(|n| n == value) => Ok(()),
                _ => Err(format!("{name} cannot represent value: {value}")),
            },
            (AstType::NamedType(name), AstValue::String(text))
                if matches!(TYPES.0.get(name), Some(Kind::Enum(_))) =>
            {
                Err(format!("Enum \"{name}\" cannot represent non-enum value: \"{text}\"."))
            }
            (ty, value) => fits(ty, &literal(value, &BTreeMap::new())),
        }
    }
}

/// Whether a variable of one type may stand where another is asked for.
fn goes_into(from: &Type, to: &Type, has_default: bool) -> bool {
    match (from, to) {
        (AstType::NonNullType(from), AstType::NonNullType(to)) => goes_into(from, to, false),
        (AstType::NonNullType(from), to) => goes_into(from, to, false),
        (from, AstType::NonNullType(to)) => has_default && goes_into(from, to, false),
        (AstType::ListType(from), AstType::ListType(to)) => goes_into(from, to, false),
        (AstType::NamedType(from), AstType::NamedType(to)) => from == to,
        _ => false,
    }
}
