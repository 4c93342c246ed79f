use proptest::prelude::*;

use super::*;
use crate::parse::{Document, parse};
use crate::source::SourceMap;

fn read(sources: &mut SourceMap, text: &str) -> Document {
    let id = sources.add("f", text);
    let mut diagnostics = Diagnostics::new();
    let document = parse(id, text, &mut diagnostics).remove(0);
    assert!(!diagnostics.has_errors(), "{text}: {diagnostics:?}");
    document
}

fn show(node: &Node) -> String {
    match &node.value {
        Value::Scalar(scalar) if scalar.is_null() => "~".to_owned(),
        Value::Scalar(scalar) => scalar.to_text().to_string(),
        Value::Sequence(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(", ")),
        Value::Mapping(mapping) => {
            let entries: Vec<String> =
                mapping.iter().map(|(key, entry)| format!("{key}: {}", show(&entry.value))).collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}

/// The service `a` of all documents merged, or the messages.
fn merged(texts: &[&str]) -> String {
    let mut sources = SourceMap::new();
    let mut diagnostics = Diagnostics::new();
    let mut tree: Option<Node> = None;
    for text in texts {
        let text = format!("services: {{a: {{{text}}}}}");
        let document = read(&mut sources, &text);
        let mut node = match tree.take() {
            None => document.root,
            Some(mut tree) => {
                reset(&mut tree, &document.resets);
                merge(tree, document.root, &mut diagnostics)
            }
        };
        unique(&mut node, &mut diagnostics);
        tree = Some(node);
    }
    if diagnostics.has_errors() {
        return diagnostics.errors().map(|item| item.message.clone()).collect::<Vec<_>>().join("; ");
    }
    show(tree.unwrap().get("services").and_then(|node| node.get("a")).unwrap())
}

#[test]
fn attributes_merge_by_their_rules() {
    let cases: &[(&[&str], &str)] = &[
        (&["image: x", "image: y"], "{image: y}"),
        (&["image: x", "image: ~"], "{image: x}"),
        (&["label_file: x", "label_file: [y, x]"], "{label_file: [x, y]}"),
        (&["command: x", "command: ~"], "{command: ~}"),
        (&["command: [x, y]", "command: z"], "{command: z}"),
        (&["environment: {B: 1, A: 2}", "environment: [A=3, C]"], "{environment: [A=3, B=1, C]}"),
        (&["environment: {A: 1}", "environment: ~"], "{environment: {A: 1}}"),
        (&["environment: [A=1, A=2]"], "{environment: [A=2]}"),
        (&["labels: [a=1, b]", "labels: {a: 1.50, b: ~}"], "{labels: [a=1.5, b]}"),
        (&["cap_add: [A, B]", "cap_add: [B, C]"], "{cap_add: [A, B, C]}"),
        (&["security_opt: [A, B]", "security_opt: [B, C]"], "{security_opt: [A, B, C]}"),
        (&["group_add: [x, 1]", "group_add: [x, '1']"], "{group_add: [x, 1, 1]}"),
        (&["dns: 1.1.1.1", "dns: [1.1.1.1, 2.2.2.2]"], "{dns: [1.1.1.1, 2.2.2.2]}"),
        (&["tmpfs: [/a]", "tmpfs: /b"], "{tmpfs: [/a, /b]}"),
        (&["build: x", "build: {args: {A: 1}}"], "{build: {context: x, args: {A: 1}}}"),
        (&["build: {args: {A: 1}}", "build: {args: [A=2, B]}"], "{build: {args: [A=2, B]}}"),
        (
            &["logging: {driver: a, options: {x: 1}}", "logging: {options: {y: 1}}"],
            "{logging: {driver: a, options: {x: 1, y: 1}}}",
        ),
        (&["logging: {driver: a, options: {x: 1}}", "logging: {driver: b}"], "{logging: {driver: b}}"),
        (
            &["extra_hosts: {a: 1.1.1.1}", "extra_hosts: {a: [1.1.1.1, 4.4.4.4]}"],
            "{extra_hosts: [a=1.1.1.1, a=4.4.4.4]}",
        ),
        (
            &["depends_on: [b]", "depends_on: {b: {condition: c}, d: ~}"],
            "{depends_on: {b: {condition: c, required: true}, d: ~}}",
        ),
        (&["networks: [n]", "networks: {n: {aliases: [x]}}"], "{networks: {n: {aliases: [x]}}}"),
        (
            &["networks: {n: {aliases: [x, y]}}", "networks: {n: {aliases: [y, z]}}"],
            "{networks: {n: {aliases: [x, y, z]}}}",
        ),
        (&["ulimits: {n: 1}", "ulimits: {n: {soft: 1, hard: 2}}"], "{ulimits: {n: {soft: 1, hard: 2}}}"),
        (&["ulimits: {n: {soft: 1, hard: 2}}", "ulimits: {n: 3}"], "{ulimits: {n: 3}}"),
        (&["volumes: ['/a:/x', 'v:/y']", "volumes: ['/b:/x/:ro']"], "{volumes: [/b:/x/:ro, v:/y]}"),
        (&["volumes: [{type: bind}]"], "service volume services.a.volumes.[0] is missing a mount target"),
        (&["ports: [{published: 80}]"], "service ports services.a.ports.[0] is missing a target port"),
        (&["environment: [{A: 1}]"], "services.a.environment.[0]: unexpected type map[string]interface {}"),
        (&["labels: [a, 1]"], "services.a.labels.[1]: unexpected type int"),
        (&["ports: ['80:80', 81]", "ports: ['80:80', '82']"], "{ports: [80:80, 81, 82]}"),
        (
            &["ports: [{target: 80, published: '1', mode: a}]", "ports: [{target: 80, published: '1', mode: b}]"],
            "{ports: [{target: 80, published: 1, mode: b}]}",
        ),
        (&["secrets: [s]", "secrets: [{source: s, mode: 1}]"], "{secrets: [{source: s, mode: 1}]}"),
        (&["x-a: [1, 2]", "x-a: [2, 3]"], "{x-a: [1, 2, 3]}"),
        (&["x-a: {b: 1}", "x-a: s"], "cannot override services.a.x-a"),
        (
            &["healthcheck: {test: [CMD, x], retries: 1}", "healthcheck: {test: y}"],
            "{healthcheck: {test: y, retries: 1}}",
        ),
        (&["image: x, ports: ['80']", "ports: !reset []"], "{image: x}"),
        (&["ports: ['80']", "ports: !override ['81']"], "{ports: [81]}"),
        (&["environment: {A: 1, B: 2}", "environment: {A: !reset null}"], "{environment: [B=2]}"),
        (&["environment: {A: 1}", "environment: {B: 1}", "environment: {A: !reset null}"], "{environment: [A=1, B=1]}"),
    ];
    for (texts, expected) in cases {
        assert_eq!(merged(texts), *expected, "{texts:?}");
    }
}

#[test]
fn address_pools_merge_by_subnet() {
    let mut sources = SourceMap::new();
    let text = |pools: &str| format!("networks: {{n: {{ipam: {{config: [{pools}]}}}}}}");
    let lower = read(&mut sources, &text("{subnet: a, gateway: 1}")).root;
    let upper = read(&mut sources, &text("{subnet: a, gateway: 2}, {subnet: b}")).root;
    let tree = merge(lower, upper, &mut Diagnostics::new());
    assert_eq!(show(&tree), "{networks: {n: {ipam: {config: [{subnet: a, gateway: 2}, {subnet: b}]}}}}");
}

#[test]
fn short_volumes_have_the_target_of_the_reference() {
    let cases = [("/x", "/x"), ("a:/x", "a:/x"), ("ab:/x:ro", "/x"), ("C:\\a:/x", "/x"), ("./a:/x/", "/x"), ("/", "/")];
    for (text, expected) in cases {
        assert_eq!(volume_target(text).as_deref(), Some(expected), "{text}");
    }
    assert_eq!(volume_target("aa:bb:cc:dd"), None);
}

proptest! {
    #[test]
    fn an_empty_file_laid_over_changes_nothing(keys in prop::collection::vec(("[a-z]{1,6}", "[a-z0-9]{0,4}"), 0..6)) {
        let mut sources = SourceMap::new();
        let mut text = String::from("services:\n  a:\n    image: x\n    environment:\n      K: v\n");
        for (index, (key, value)) in keys.iter().enumerate() {
            text += &format!("      {key}{index}: '{value}'\n");
        }
        let lower = read(&mut sources, &text).root;
        let upper = read(&mut sources, "services: {}").root;
        let merged = merge(lower.clone(), upper, &mut Diagnostics::new());
        prop_assert!(merged.same_value(&lower));
    }
}
