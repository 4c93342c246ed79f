//! Laws of the model over generated projects and texts.

use compose_model::assemble::Options;
use compose_model::canonical::{self, Document};
use compose_model::files::MemoryFiles;
use compose_model::{LoadOptions, load};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn options() -> LoadOptions {
    let input = Options { current_directory: "/p".to_owned(), ..Options::default() };
    LoadOptions { input, all_resources: true, profiles: vec!["*".to_owned()], ..LoadOptions::default() }
}

fn yaml_of(text: &str) -> Result<String, String> {
    let files = MemoryFiles::new().with("/p/compose.yaml", text);
    load(&options(), &files).map(|loaded| canonical::yaml(&loaded.project)).map_err(|error| error.render(false))
}

/// Files that say nothing.
const EMPTY: [&str; 4] = [
    "services: {}",
    "networks: {}\nvolumes: {}",
    "# nothing\nservices:\n  {}\n",
    "---\nservices: {}\n---\nsecrets: {}\n",
];

fn two_files() -> LoadOptions {
    let mut options = options();
    options.input.files = vec!["compose.yaml".to_owned(), "over.yaml".to_owned()];
    options
}

fn word() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9]{1,6}"
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[ -~]{0,24}", "[a-zé0-9:#\\-\\n \\t'\"$]{0,24}", Just("yes".to_owned()), Just("010".to_owned())]
        // A dollar sign would be an expression.
        .prop_map(|text| text.replace('$', "$$"))
}

fn attribute() -> impl Strategy<Value = (String, Value)> {
    let pair = |key: &'static str, value: BoxedStrategy<Value>| value.prop_map(move |value| (key.to_owned(), value));
    let texts = || prop::collection::btree_set(word(), 0..4);
    prop_oneof![
        pair("command", text().prop_map(|text| json!([text])).boxed()),
        pair("environment", prop::collection::btree_map(word(), text(), 0..4).prop_map(|map| json!(map)).boxed()),
        pair("labels", prop::collection::btree_map(word(), text(), 0..4).prop_map(|map| json!(map)).boxed()),
        pair("ports", (1..65000_u16, 1..65000_u16).prop_map(|(a, b)| json!([format!("{a}:{b}"), b])).boxed()),
        pair("volumes", word().prop_map(|name| json!([format!("./{name}:/{name}/"), format!("/anon{name}")])).boxed()),
        pair("cap_add", texts().prop_map(|names| json!(names)).boxed()),
        pair("profiles", texts().prop_map(|names| json!(names)).boxed()),
        pair("mem_limit", (1..4096_u32).prop_map(|size| json!(format!("{size}m"))).boxed()),
        pair("cpus", (1..64_u32).prop_map(|count| json!(f64::from(count) / 8.0)).boxed()),
        pair("stop_grace_period", (0..5000_u32).prop_map(|length| json!(format!("{length}s"))).boxed()),
        pair("tty", any::<bool>().prop_map(|flag| json!(flag)).boxed()),
        pair("scale", (0..5).prop_map(|count| json!(count)).boxed()),
        pair("ulimits", (0..9).prop_map(|limit| json!({"nofile": limit, "nproc": {"soft": 1, "hard": limit}})).boxed()),
        pair(
            "build",
            word().prop_map(|name| json!({"context": format!("./{name}"), "args": [format!("{name}=1")]})).boxed()
        ),
        pair("healthcheck", text().prop_map(|line| json!({"test": line, "interval": "1m30s", "retries": 3})).boxed()),
        pair("extra_hosts", word().prop_map(|host| json!([format!("{host}:10.0.0.1"), format!("{host}=::1")])).boxed()),
        pair("x-note", text().prop_map(|line| json!({"b": line, "a": [1, 1.5, null, true]})).boxed()),
    ]
}

fn project() -> impl Strategy<Value = String> {
    let service = prop::collection::vec(attribute(), 0..8).prop_map(|attributes| {
        let mut service: Map<String, Value> = attributes.into_iter().collect();
        service.insert("image".to_owned(), json!("busybox"));
        Value::Object(service)
    });
    prop::collection::btree_map(word(), service, 0..5).prop_map(|services| json!({ "services": services }).to_string())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn loading_its_own_output_is_a_fixed_point(text in project()) {
        let first = yaml_of(&text).map_err(TestCaseError::fail)?;
        let second = yaml_of(&first).map_err(|error| TestCaseError::fail(format!("{first}\n{error}")))?;
        prop_assert_eq!(first, second);
    }

    #[test]
    fn an_empty_file_on_top_changes_nothing(text in project(), which in 0..EMPTY.len()) {
        let alone = yaml_of(&text).map_err(TestCaseError::fail)?;
        let files = MemoryFiles::new().with("/p/compose.yaml", text).with("/p/over.yaml", EMPTY[which]);
        let both = load(&two_files(), &files).map_err(|error| TestCaseError::fail(error.render(false)))?;
        prop_assert_eq!(alone, canonical::yaml(&both.project));
    }

    #[test]
    fn interpolation_changes_values_and_never_structure(
        values in prop::collection::btree_map("[a-z]{1,5}", "[a-zA-Z0-9:{}\\[\\]#&*!|>'\"%@,\n \t$-]{0,16}", 1..6),
    ) {
        let lines: String = values.keys().map(|name| format!("      {name}: ${{V_{name}}}\n")).collect();
        let text = format!("services:\n  a:\n    image: x\n    labels:\n{lines}");
        let mut options = options();
        options.input.environment = values.iter().map(|(name, value)| (format!("V_{name}"), value.clone())).collect();
        let files = MemoryFiles::new().with("/p/compose.yaml", text);
        let loaded = load(&options, &files).map_err(|error| TestCaseError::fail(error.render(false)))?;
        let labels = loaded.project.services.values().next().map(|service| &service.labels);
        prop_assert_eq!(labels, Some(&values));
    }

    #[test]
    fn every_place_that_is_named_lies_in_its_text(
        text in "(services:|image: é|[ \\n]|\\r\\n|ports:|- |[a-zéß]{1,5}|\\$\\{[A-Z]?(:\\?é)?\\}?|[:{}\\[\\]&*!|>'\"%@`$#,?-]){0,40}",
        more in "(services:|a:|[ \\n]|image: x|[a-zß:{}\\[\\]]{1,5}){0,20}",
    ) {
        let files = MemoryFiles::new().with("/p/compose.yaml", text).with("/p/over.yaml", more);
        let (diagnostics, sources) = match load(&two_files(), &files) {
            Ok(loaded) => (loaded.diagnostics, loaded.sources),
            Err(error) => (error.diagnostics, error.sources),
        };
        for diagnostic in diagnostics.iter() {
            let labels = diagnostic.labels.iter().map(|label| label.span);
            for span in diagnostic.span.into_iter().chain(labels) {
                let inside = sources.get(span.source).is_some_and(|source| source.text().get(span.range()).is_some());
                prop_assert!(inside, "{:?}: {}", span, diagnostic.message);
            }
        }
    }

    #[test]
    fn no_text_panics(text in "(services:|[ \\n]|[a-z]{1,5}|[:{}\\[\\]&*!|>'\"%@`$#,?-]){0,40}") {
        let _ = yaml_of(&text);
    }

    #[test]
    fn every_text_survives_the_yaml_writer(text in "\\PC{0,40}|[a\\n \\t#:\\u{85}\\u{2028}\\u{feff}'\"\\\\-]{0,20}|(word ){0,40}") {
        // What is written in front keeps the text from being a byte order mark of the file.
        let document = Document::Mapping(vec![
            ("x-a".into(), Document::Sequence(vec![Document::Text(text.clone())])),
            ("services".into(), Document::Mapping(Vec::new())),
        ]);
        let written = canonical::write_yaml(&document).replace('$', "$$");
        let files = MemoryFiles::new().with("/p/compose.yaml", written.clone());
        let loaded = load(&options(), &files)
            .map_err(|error| TestCaseError::fail(format!("{written}\n{}", error.render(false))))?;
        prop_assert_eq!(&loaded.project.extensions["x-a"], &json!([text]), "{}", written);
    }
}
