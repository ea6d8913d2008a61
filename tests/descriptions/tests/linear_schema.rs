//! The Linear twin against Linear's own schema.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use apollo_compiler::Schema;
use apollo_compiler::schema::ExtendedType;
use omnifs_descriptions as check;
use omnifs_twins::linear::SCHEMA;

#[test]
fn every_type_and_field_the_twin_serves_is_linears_own() {
    let own = Schema::parse_and_validate(SCHEMA, "twin.graphql").unwrap();
    let Some(linear) = check::linear() else { return };
    let mut checked = 0;
    let fail = |what: String| panic!("{what} is not as Linear has it");
    for (name, ours) in &own.types {
        if ours.is_built_in() {
            continue;
        }
        let Some(theirs) = linear.types.get(name) else { panic!("Linear has no type {name}") };
        match (ours, theirs) {
            (ExtendedType::Object(ours), ExtendedType::Object(theirs)) => {
                for (field, ours) in &ours.fields {
                    let Some(theirs) = theirs.fields.get(field) else {
                        panic!("Linear has no field {name}.{field}");
                    };
                    if ours.ty != theirs.ty {
                        fail(format!("{name}.{field}: {}", ours.ty));
                    }
                    for argument in &ours.arguments {
                        let theirs = theirs.argument_by_name(&argument.name);
                        if theirs.is_none_or(|theirs| theirs.ty != argument.ty) {
                            fail(format!("{name}.{field}({})", argument.name));
                        }
                    }
                    // What Linear requires, the twin must require too.
                    for argument in theirs.arguments.iter().filter(|a| a.is_required()) {
                        if ours.argument_by_name(&argument.name).is_none() {
                            fail(format!("{name}.{field} without {}", argument.name));
                        }
                    }
                    checked += 1;
                }
            }
            (ExtendedType::InputObject(ours), ExtendedType::InputObject(theirs)) => {
                for (field, ours) in &ours.fields {
                    if theirs.fields.get(field).is_none_or(|theirs| theirs.ty != ours.ty) {
                        fail(format!("{name}.{field}"));
                    }
                    checked += 1;
                }
            }
            (ExtendedType::Enum(ours), ExtendedType::Enum(theirs)) => {
                let mut values = ours.values.keys();
                if !values.all(|value| theirs.values.contains_key(value)) {
                    fail(name.to_string());
                }
            }
            (ExtendedType::Scalar(_), ExtendedType::Scalar(_))
            | (ExtendedType::Interface(_), ExtendedType::Interface(_)) => {}
            _ => fail(name.to_string()),
        }
    }
    assert!(checked > 400, "only {checked} fields were looked at");
}

#[test]
fn queries_are_held_against_linears_schema() {
    let good = check::check_linear_query(
        "query($after: String) { issues(first: 50, after: $after, orderBy: updatedAt,
            filter: {team: {key: {eq: \"ENG\"}}, updatedAt: {gt: \"2026-01-01T00:00:00Z\"}}) {
            nodes { id identifier labels { nodes { name } } } pageInfo { hasNextPage endCursor } } }",
    );
    match good {
        Ok(false) => return,
        other => assert_eq!(other, Ok(true)),
    }
    for wrong in [
        "{ issues { nodes { titel } } }",
        "{ issues(filter: {team: {key: \"ENG\"}}) { nodes { id } } }",
        "query($id: Int!) { issue(id: $id) { id } }",
        "{ viewer { id } ",
    ] {
        let refused = check::check_linear_query(wrong).unwrap_err();
        assert!(refused.contains("query.graphql"), "{refused}");
    }
}
