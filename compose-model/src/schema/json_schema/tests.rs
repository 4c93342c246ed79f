use proptest::prelude::*;
use proptest::sample::select;
use regex::Regex;
use serde_json::{Value, json};

use super::super::{Names, Object, PROJECT, Shape, Type, validate};
use super::json_schema;
use crate::canonical;
use crate::diagnostic::Diagnostics;
use crate::parse;
use crate::source::SourceMap;
use crate::tree::Node;

/// A validator of the keywords that the generated schema uses. An unknown keyword is a failure.
fn admits(root: &Value, schema: &Value, value: &Value) -> bool {
    let Some(keywords) = schema.as_object() else { return schema == &Value::Bool(true) };
    keywords.iter().all(|(keyword, wanted)| match keyword.as_str() {
        "$schema" | "title" | "description" | "$defs" | "patternProperties" | "properties" => true,
        "$ref" => {
            let pointer = wanted.as_str().unwrap().trim_start_matches('#');
            admits(root, root.pointer(pointer).expect("a definition for every reference"), value)
        }
        "type" => match wanted {
            Value::Array(kinds) => kinds.iter().any(|kind| is_a(kind, value)),
            kind => is_a(kind, value),
        },
        "enum" => wanted.as_array().unwrap().contains(value),
        "pattern" => value.as_str().is_none_or(|text| Regex::new(wanted.as_str().unwrap()).unwrap().is_match(text)),
        "minimum" => value.as_f64().is_none_or(|number| number >= wanted.as_f64().unwrap()),
        "maximum" => value.as_f64().is_none_or(|number| number <= wanted.as_f64().unwrap()),
        "items" => value.as_array().is_none_or(|items| items.iter().all(|item| admits(root, wanted, item))),
        "uniqueItems" => value
            .as_array()
            .is_none_or(|items| items.iter().enumerate().all(|(index, item)| !items[..index].contains(item))),
        "required" => {
            let has = |name: &Value| value.get(name.as_str().unwrap()).is_some();
            !value.is_object() || wanted.as_array().unwrap().iter().all(has)
        }
        "anyOf" => wanted.as_array().unwrap().iter().any(|schema| admits(root, schema, value)),
        "additionalProperties" => value.as_object().is_none_or(|object| {
            object.iter().all(|(name, value)| {
                let mut schemas = Vec::new();
                schemas.extend(schema["properties"].get(name));
                for (pattern, schema) in schema["patternProperties"].as_object().into_iter().flatten() {
                    if Regex::new(pattern).unwrap().is_match(name) {
                        schemas.push(schema);
                    }
                }
                match &schemas[..] {
                    [] => admits(root, wanted, value),
                    schemas => schemas.iter().all(|schema| admits(root, schema, value)),
                }
            })
        }),
        other => panic!("unknown keyword {other}"),
    })
}

fn is_a(kind: &Value, value: &Value) -> bool {
    match kind.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        other => panic!("unknown type {other}"),
    }
}

fn read(text: &str) -> Node {
    let mut sources = SourceMap::new();
    let mut diagnostics = Diagnostics::new();
    let source = sources.add("compose.yaml", text);
    let mut documents = parse::parse(source, text, &mut diagnostics);
    assert!(!diagnostics.has_errors(), "{text}");
    documents.remove(0).root
}

fn as_json(node: &Node) -> Value {
    serde_json::from_str(&canonical::write_json_compact(&canonical::tree_document(node))).unwrap()
}

fn loader_admits(node: &Node) -> bool {
    let mut diagnostics = Diagnostics::new();
    validate(node, "compose.yaml", &mut diagnostics);
    !diagnostics.has_errors()
}

#[test]
fn the_examples_follow_the_schema() {
    let schema = json_schema();
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples");
    let mut seen = 0;
    let mut folders = vec![std::path::PathBuf::from(root)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if name.ends_with(".yaml") && name != "01-tab.yaml" {
                let node = read(&std::fs::read_to_string(&path).unwrap());
                assert!(admits(&schema, &schema, &as_json(&node)), "{}", path.display());
                seen += 1;
            }
        }
    }
    assert!(seen >= 5, "only {seen} examples found");
}

#[test]
fn files_of_every_kind_are_judged_as_the_loader_judges_them() {
    let schema = json_schema();
    let cases = [
        ("services: {web: {image: nginx, ports: [80, '8080:80', {target: 80, published: '1-2'}]}}", true),
        ("services: {web: {image: nginx, environment: {A: null, B: 1, C: yes}, x-note: [1]}}", true),
        ("services: {web: {image: nginx, environment: [A=1, A=1]}}", false),
        ("services: {web: {imgae: nginx}}", false),
        ("services: {web: null}", false),
        ("services: {a b: {image: x}}", false),
        ("services: {web: {image: x, depends_on: {db: {condition: service_healthy}}}}", true),
        ("services: {web: {image: x, depends_on: {db: {}}}}", false),
        ("services: {web: {image: x, depends_on: {db: {condition: healthy}}}}", false),
        ("services: {web: {image: x, pull_policy: every_12h}}", true),
        ("services: {web: {image: x, pull_policy: sometimes}}", false),
        ("services: {web: {image: x, cpu_percent: 101}}", false),
        ("services: {web: {image: x, gpus: all}}", true),
        ("services: {web: {image: x, gpus: some}}", false),
        ("networks: {a: , b: {external: true}, c: {external: {name: x}}}", true),
        ("volumes: {a: , b: {labels: [a=b]}}\nsecrets: {s: {file: f}}\nconfigs: {c: {content: x}}", true),
        ("jobs: {j: {image: x, triggers: {manual: true}}}", true),
        ("jobs: {j: {image: x, triggers: {}}}", false),
        ("jobs: {j: {image: x}}", false),
        ("version: 3", false),
        ("version: '3'\nname: n\nx-any: {thing: []}\nmodels: {m: {model: ai/x, context_size: 1}}", true),
        ("surprise: 1", false),
    ];
    for (text, expected) in cases {
        let node = read(text);
        assert_eq!(loader_admits(&node), expected, "the loader on {text}");
        assert_eq!(admits(&schema, &schema, &as_json(&node)), expected, "the schema on {text}");
    }
}

#[test]
fn variables_may_stand_where_words_and_numbers_are_wanted() {
    let schema = json_schema();
    let text = "services: {web: {image: x, depends_on: {db: {condition: '${WHEN}', required: $MUST}}, use_api_socket: $S}}\n\
                include: [a.yaml, {path: [b.yaml], env_file: b.env}]";
    let node = read(text);
    assert!(admits(&schema, &schema, &as_json(&node)));
    let node = read("include: [{paths: a}]");
    assert!(!admits(&schema, &schema, &as_json(&node)));
}

#[test]
fn no_object_has_fields_and_restricted_names_at_once() {
    // A field would have to fit both, which the table does not mean.
    fn walk(shape: &Shape) {
        match shape {
            Shape::List { items, .. } => walk(items),
            Shape::OneOf(shapes) => shapes.iter().for_each(walk),
            Shape::Object(object) => {
                let free = object.names.0 == Names::None || matches!(object.names.1, Shape::Any);
                assert!(free || object.field_names().is_empty(), "{:?}", object.field_names());
                object.fields.iter().for_each(|(_, shape)| walk(shape));
                object.shared.iter().for_each(|shared| walk(&Shape::Object(shared)));
                walk(object.names.1);
            }
            _ => {}
        }
    }
    walk(&Shape::Object(&PROJECT));
}

/// Values that mostly fit a shape, and now and then do not.
fn value_of(shape: &'static Shape, depth: u32) -> BoxedStrategy<Value> {
    let odd =
        select(vec![json!(null), json!(true), json!(7), json!(-1.5), json!("text"), json!(["a", "a"]), json!({})]);
    let fitting = match shape {
        Shape::Any => Just(json!([1])).boxed(),
        Shape::Scalar(types) => select(types.to_vec())
            .prop_map(|kind| match kind {
                Type::Boolean => json!(true),
                Type::Integer => json!(3),
                Type::Null => json!(null),
                Type::Number => json!(0.5),
                Type::Date | Type::Text => json!("word"),
            })
            .boxed(),
        Shape::Words(words) => select(words.to_vec()).prop_map(|word| json!(word)).boxed(),
        Shape::Pattern(_) => {
            select(vec!["daily", "every_3d", "every_", "web_1", "-", "a"]).prop_map(|word| json!(word)).boxed()
        }
        Shape::Range(least, most) => select(vec![*least, least - 1, *most, 5]).prop_map(|number| json!(number)).boxed(),
        Shape::List { items, .. } => {
            proptest::collection::vec(value_of(items, depth), 0..3).prop_map(Value::Array).boxed()
        }
        Shape::OneOf(shapes) => select((0..shapes.len()).collect::<Vec<_>>())
            .prop_flat_map(move |index| value_of(&shapes[index], depth))
            .boxed(),
        Shape::Object(object) if depth == 0 => Just(minimal(object)).boxed(),
        Shape::Object(object) => object_of(object, depth - 1),
    };
    prop_oneof![40 => fitting, 1 => odd].boxed()
}

fn minimal(object: &'static Object) -> Value {
    object.required.iter().map(|name| ((*name).to_owned(), json!("x"))).collect()
}

fn object_of(object: &'static Object, depth: u32) -> BoxedStrategy<Value> {
    let mut names: Vec<&'static str> = object.field_names();
    // Read and taken out before the loader checks.
    names.retain(|name| *name != "include");
    let extra = select(vec!["x-more", "own", "own name", "a.b_c-d", ""]);
    let pairs = if names.is_empty() {
        extra.prop_flat_map(move |name| (Just(name), value_of(object.names.1, depth))).boxed()
    } else {
        let known = select(names)
            .prop_flat_map(move |name| (Just(name), value_of(object.field(name).expect("a known field"), depth)));
        let own = extra.prop_flat_map(move |name| (Just(name), value_of(object.names.1, depth)));
        prop_oneof![20 => known, 1 => own].boxed()
    };
    proptest::collection::vec(pairs, 0..4)
        .prop_map(move |pairs| {
            let mut value = minimal(object);
            for (name, inner) in pairs {
                value[name] = inner;
            }
            value
        })
        .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]
    #[test]
    fn loader_and_schema_agree_on_generated_files(value in object_of(&PROJECT, 5)) {
        let schema = json_schema();
        let node = read(&serde_json::to_string(&value).unwrap());
        prop_assert_eq!(as_json(&node), value.clone());
        prop_assert_eq!(admits(&schema, &schema, &value), loader_admits(&node));
    }
}
