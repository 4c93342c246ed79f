//! Any text as an env file, in both formats: nothing panics and every place lies inside.
#![no_main]

use compose_model::dotenv::{self, Variables};
use compose_model::source::SourceMap;
use compose_model::template::Variable;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let text = compose_model::environment::env_text(data);
    let id = SourceMap::new().add("e", text.as_str());
    let lookup = |name: &str| (name == "S").then(|| Variable { text: "val".into(), span: None });
    for raw in [false, true] {
        let mut variables = Variables::new();
        let result = if raw {
            dotenv::parse_raw(id, &text, &lookup, &mut variables)
        } else {
            dotenv::parse(id, &text, &lookup, &mut variables, &mut |_, span| assert!(text.get(span.range()).is_some()))
        };
        for span in variables.values().filter_map(|value| value.span).chain(result.err().map(|error| error.span)) {
            assert!(text.get(span.range()).is_some(), "{span:?}");
        }
    }
});
