//! `compose check` as users and code hosts run it.

#![allow(clippy::unwrap_used)] // Helpers of tests: a panic is how they fail.

use std::process::{Command, Output};

fn check(file: &str, words: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("compose.yaml"), file).unwrap();
    Command::new(env!("CARGO_BIN_EXE_compose"))
        .arg("check")
        .args(words)
        .env_clear()
        .env("PWD", folder.path())
        .current_dir(folder.path())
        .output()
        .unwrap()
}

const HURTS: &str = "services:\n  web:\n    image: nginx\n";

#[test]
fn findings_do_not_fail_unless_asked_to() {
    let output = check(HURTS, &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(text.contains("warning[C004]") && text.contains("compose.yaml:3:12"), "{text}");
    assert_eq!(check(HURTS, &["--strict"]).status.code(), Some(1));
    assert_eq!(check(HURTS, &["--strict", "--ignore", "C004"]).status.code(), Some(0));
    assert_eq!(check(HURTS, &["--strict", "--ignore=unpinned-image"]).status.code(), Some(0));
}

#[test]
fn a_code_that_does_not_exist_is_refused() {
    let output = check(HURTS, &["--ignore", "unpined-image"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("did you mean `unpinned-image`?"));
}

#[test]
fn sarif_names_the_rule_and_a_place_below_the_working_directory() {
    let output = check(HURTS, &["--format", "sarif"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let run = &report["runs"][0];
    let result = &run["results"][0];
    let index = result["ruleIndex"].as_u64().unwrap() as usize;
    assert_eq!(report["version"], "2.1.0");
    assert_eq!(run["tool"]["driver"]["rules"][index]["id"], result["ruleId"]);
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "compose.yaml");
    assert_eq!((&place["region"]["startLine"], &place["region"]["startColumn"]), (&3.into(), &12.into()));
}

#[test]
fn a_project_that_does_not_load_fails_in_every_format() {
    for format in ["text", "json", "sarif"] {
        let output = check("services: {web: {imgae: x}}", &["--format", format]);
        assert_eq!(output.status.code(), Some(1), "{format}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("unknown-attribute"), "{format}");
    }
}

/// A member of an object: its name, whether it has to be there, its kind.
type Member = (&'static str, bool, &'static str);

/// What the schema of SARIF 2.1.0 says of the objects that we write: their members, those that have
/// to be there, and the kind of each. (OASIS, sarif-schema-2.1.0.json; no other members are allowed.)
const SARIF: &[(&str, &[Member])] = &[
    ("sarifLog", &[("$schema", false, "uri"), ("version", true, "=2.1.0"), ("runs", true, "[run]")]),
    (
        "run",
        &[
            ("tool", true, "tool"),
            ("columnKind", false, "=utf16CodeUnits|unicodeCodePoints"),
            ("results", false, "[result]"),
        ],
    ),
    ("tool", &[("driver", true, "toolComponent")]),
    (
        "toolComponent",
        &[
            ("name", true, "string"),
            ("version", false, "string"),
            ("informationUri", false, "uri"),
            ("rules", false, "[reportingDescriptor]"),
        ],
    ),
    (
        "reportingDescriptor",
        &[
            ("id", true, "string"),
            ("name", false, "string"),
            ("shortDescription", false, "multiformatMessageString"),
            ("helpUri", false, "uri"),
            ("defaultConfiguration", false, "reportingConfiguration"),
        ],
    ),
    ("multiformatMessageString", &[("text", true, "string")]),
    ("reportingConfiguration", &[("level", false, "=none|note|warning|error")]),
    (
        "result",
        &[
            ("ruleId", false, "string"),
            ("ruleIndex", false, "index"),
            ("level", false, "=none|note|warning|error"),
            ("message", true, "message"),
            ("locations", false, "[location]"),
        ],
    ),
    ("message", &[("text", true, "string")]),
    ("location", &[("physicalLocation", false, "physicalLocation")]),
    ("physicalLocation", &[("artifactLocation", true, "artifactLocation"), ("region", false, "region")]),
    ("artifactLocation", &[("uri", false, "uri"), ("uriBaseId", false, "string")]),
    (
        "region",
        &[
            ("startLine", false, "positive"),
            ("startColumn", false, "positive"),
            ("endLine", false, "positive"),
            ("endColumn", false, "positive"),
        ],
    ),
];

/// What is wrong with a value of a kind, by path.
fn faults(value: &serde_json::Value, kind: &str, path: &str, found: &mut Vec<String>) {
    if let Some(inner) = kind.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        match value.as_array() {
            Some(items) => {
                for (index, item) in items.iter().enumerate() {
                    faults(item, inner, &format!("{path}[{index}]"), found);
                }
            }
            None => found.push(format!("{path} is no list")),
        }
        return;
    }
    if let Some((_, members)) = SARIF.iter().find(|(name, _)| *name == kind) {
        let Some(object) = value.as_object() else {
            found.push(format!("{path} is no {kind}"));
            return;
        };
        for (name, _, _) in members.iter().filter(|(name, required, _)| *required && !object.contains_key(*name)) {
            found.push(format!("{path}.{name} is missing"));
        }
        for (name, member) in object {
            match members.iter().find(|(known, _, _)| known == name) {
                Some((_, _, kind)) => faults(member, kind, &format!("{path}.{name}"), found),
                None => found.push(format!("{path}.{name} is not known")),
            }
        }
        return;
    }
    let fits = match kind {
        "string" => value.is_string(),
        "uri" => value.as_str().is_some_and(|text| !text.contains([' ', '\\', '"', '<', '>'])),
        "positive" => value.as_u64().is_some_and(|number| number > 0),
        "index" => value.as_i64().is_some_and(|number| number >= -1),
        words => value.as_str().is_some_and(|text| words.trim_start_matches('=').split('|').any(|word| word == text)),
    };
    if !fits {
        found.push(format!("{path} is no {kind}: {value}"));
    }
}

#[test]
fn sarif_follows_its_schema() {
    let many = "services:\n  web:\n    image: nginx\n    ports: [22:22, \"5432:5432\"]\n    restart: sometimes\n    environment: {PASSWORD: geheim}\n";
    for file in
        [HURTS, many, "services: {web: {imgae: x, prots: 1}}", "services: [", "services: {web: {image: nginx:1}}"]
    {
        let output = check(file, &["--format", "sarif"]);
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let mut found = Vec::new();
        faults(&report, "sarifLog", "log", &mut found);
        assert!(found.is_empty(), "{file}: {found:?}");
        // Beyond the schema, in the text of the standard: an index fits its rule, and a region does not end before it begins.
        let rules = &report["runs"][0]["tool"]["driver"]["rules"];
        for result in report["runs"][0]["results"].as_array().unwrap() {
            if let Some(index) = result.get("ruleIndex") {
                assert_eq!(rules[index.as_u64().unwrap() as usize]["id"], result["ruleId"], "{result}");
            }
            let region = &result["locations"][0]["physicalLocation"]["region"];
            let place = |line: &str, column: &str| Some((region[line].as_u64()?, region[column].as_u64()?));
            if let (Some(start), Some(end)) = (place("startLine", "startColumn"), place("endLine", "endColumn")) {
                assert!(start <= end, "{result}");
            }
        }
    }
}

#[test]
fn what_breaks_the_schema_is_found() {
    let log = serde_json::json!({ "version": "2.0", "runs": [{ "results": [{ "level": "bad", "extra": 1 }] }] });
    let mut found = Vec::new();
    faults(&log, "sarifLog", "log", &mut found);
    found.sort();
    assert_eq!(found.len(), 5, "{found:?}");
}
