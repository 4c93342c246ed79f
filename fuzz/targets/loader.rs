//! Any text as a project: nothing panics, and every place that is named lies in its text.
//! The input holds several files, separated by lines `--- FILE NAME`.
#![no_main]

use compose_model::assemble::{NoRemote, Options};
use compose_model::diagnostic::Diagnostics;
use compose_model::files::MemoryFiles;
use compose_model::load::{LoadOptions, load, load_model};
use compose_model::source::SourceMap;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut files = MemoryFiles::new();
    let mut name = "compose.yaml".to_owned();
    let mut content: Vec<u8> = Vec::new();
    for line in data.split_inclusive(|byte| *byte == b'\n') {
        if let Some(next) = line.strip_prefix(b"--- FILE ").and_then(|rest| std::str::from_utf8(rest).ok()) {
            files = files.with(&format!("/p/{}", name.trim()), std::mem::take(&mut content));
            name = next.to_owned();
        } else {
            content.extend_from_slice(line);
        }
    }
    files = files.with(&format!("/p/{}", name.trim()), content);
    let environment = [("HOME", "/p/home"), ("SET", "value"), ("N", "3")];
    let input = Options {
        current_directory: "/p".to_owned(),
        files: vec!["compose.yaml".to_owned()],
        environment: environment.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        ..Options::default()
    };
    let mut options = LoadOptions { input, all_resources: true, profiles: vec!["*".to_owned()], ..LoadOptions::default() };
    match load(&options, &files) {
        Ok(loaded) => {
            check(&loaded.diagnostics, &loaded.sources);
            let _ = compose_model::canonical::yaml(&loaded.project);
            let _ = compose_model::canonical::json(&loaded.project);
            for service in loaded.project.services.values() {
                let _ = compose_model::canonical::service_hash(service);
            }
        }
        Err(error) => check(&error.diagnostics, &error.sources),
    }
    options.no_normalise = true;
    options.input.no_interpolate = false;
    if let Ok(model) = load_model(&options, &files, &NoRemote) {
        for finding in compose_model::lint::lint(&model, &[]) {
            let _ = finding.render(&model.sources, false);
        }
    }
    options.input.no_interpolate = true;
    if let Ok(model) = load_model(&options, &files, &NoRemote) {
        let _ = compose_model::canonical::write_yaml(&compose_model::canonical::tree_document(&model.tree));
    }
});

fn check(diagnostics: &Diagnostics, sources: &SourceMap) {
    for diagnostic in diagnostics.iter() {
        let labels = diagnostic.labels.iter().map(|label| label.span);
        for span in diagnostic.span.into_iter().chain(labels) {
            let text = sources.get(span.source).expect("a known source").text();
            assert!(text.get(span.range()).is_some(), "{span:?} in {} bytes: {}", text.len(), diagnostic.message);
        }
        let _ = diagnostic.render(sources, false);
    }
}
