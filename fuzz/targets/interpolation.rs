//! Any text as a template: nothing panics, faults lie inside, and a text without `$` stays itself.
#![no_main]

use compose_model::template::{self, Variable};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let lookup = |name: &str| {
        name.starts_with(['A', 'a']).then(|| Variable { text: name.repeat(2).as_str().into(), span: None })
    };
    match template::substitute(text, &lookup, &mut |_| {}) {
        Ok(filled) => assert!(text.contains('$') || filled == text),
        Err(error) => assert!(text.get(error.range()).is_some(), "{:?}", error.range()),
    }
    let _ = template::mentions(text);
});
