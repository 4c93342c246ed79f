//! Stories: compose files, what happens to the engine, and the plan of each command, as text.
//!
//! A story is a file below `stories/`. A line `=== file` begins the text of the compose file (a
//! later one replaces it); `=== example PATH` loads a file of this repository, changed by lines
//! `s/OLD/NEW/` and overridden by what follows; `> up ...` plans the verb, shows the plan and carries it out;
//! `> up ... | 3` carries out the first three steps only; `? up ...` shows the plan and does
//! nothing; `! ...` changes the engine (see `support::happen`); `@ docker-1.41`, `@ no-rename`
//! choose what the engine can do. Lines that begin with `#` are comments. The result is a
//! snapshot with the story's name.

mod support;

use std::fmt::Write as _;
use std::path::Path;

use compose_model::project::Project;
use compose_planner::observed::Observed;
use compose_planner::{Capabilities, text};

#[test]
fn every_story_has_the_plans_of_its_snapshot() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stories");
    let mut stories: Vec<_> = std::fs::read_dir(&folder)
        .expect("the folder of stories")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "story"))
        .collect();
    stories.sort();
    assert!(!stories.is_empty());
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("stories");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    // Identities of containers say nothing to a reader.
    settings.add_filter(r"\b[0-9a-f]{12}\b", "<id>");
    let mut failed = Vec::new();
    for path in stories {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let story = std::fs::read_to_string(&path).expect("a story");
        let told = std::panic::catch_unwind(|| tell(&story));
        let Ok(told) = told else {
            failed.push(name);
            continue;
        };
        settings.bind(|| {
            if std::panic::catch_unwind(|| insta::assert_snapshot!(name.clone(), told)).is_err() {
                failed.push(name.clone());
            }
        });
    }
    assert!(failed.is_empty(), "these stories differ: {failed:?}");
}

fn tell(story: &str) -> String {
    let mut told = String::new();
    let mut project = Project::default();
    let mut observed = Observed::default();
    let mut capabilities = Capabilities::everything("docker");
    let mut lines = story.lines().peekable();
    while let Some(line) = lines.next() {
        if line == "=== file" {
            let mut yaml = String::new();
            while let Some(next) = lines.next_if(|next| !next.starts_with(['>', '!', '?', '=', '@'])) {
                yaml.push_str(next);
                yaml.push('\n');
            }
            project = support::project(&yaml);
            let fresh = support::images(&project);
            observed.contents = fresh.contents;
            for (reference, image) in fresh.images {
                observed.images.entry(reference).or_insert(image);
            }
        } else if let Some(example) = line.strip_prefix("=== example ") {
            let mut changes = String::new();
            while let Some(next) = lines.next_if(|next| !next.starts_with(['>', '!', '?', '=', '@', '#'])) {
                let _ = writeln!(changes, "{next}");
            }
            let _ = writeln!(told, "=== {example}\n{changes}");
            match support::example(example, &changes) {
                Ok(loaded) => project = loaded,
                Err(error) => {
                    let _ = writeln!(told, "{error}\n");
                }
            }
            let fresh = support::images(&project);
            observed.contents = fresh.contents;
            for (reference, image) in fresh.images {
                observed.images.entry(reference).or_insert(image);
            }
        } else if let Some(change) = line.strip_prefix("! ") {
            let _ = writeln!(told, "! {change}\n");
            support::happen(change, &mut observed);
        } else if let Some(kind) = line.strip_prefix("@ ") {
            match kind {
                "docker-1.41" => {
                    capabilities.networks_at_create = false;
                    capabilities.endpoint_mac_address = false;
                    capabilities.start_interval = false;
                    capabilities.volume_subpath = false;
                    capabilities.image_mounts = false;
                }
                "no-rename" => capabilities.rename = false,
                "no-ipv6" => capabilities.ipv6_refusal = "IPv6 is disabled".to_owned(),
                "of-few-kinds" => {
                    capabilities.log_drivers = Some(["json-file".to_owned(), "none".to_owned()].into());
                    capabilities.port_protocols = Some(["tcp".to_owned()].into());
                    capabilities.named_devices = Some(["acme.org/sensor=one".to_owned()].into());
                }
                "no-builder" => capabilities.build = false,
                other => panic!("no such engine: {other}"),
            }
        } else if let Some(words) = line.strip_prefix("> ").or_else(|| line.strip_prefix("? ")) {
            let _ = writeln!(told, "$ {words}");
            let (words, steps) = words.split_once(" | ").unwrap_or((words, ""));
            let steps = steps.trim().parse().unwrap_or(usize::MAX);
            let intent = support::intent(words, &project);
            match support::checked(&project, &observed, &intent, &capabilities) {
                Ok(plan) => {
                    told.push_str(&text::text(&plan));
                    if line.starts_with('>') {
                        observed = support::after(&observed, &plan, steps);
                    }
                }
                Err(error) => {
                    let _ = writeln!(told, "error: {error}");
                }
            }
            told.push('\n');
        } else if line == "state" {
            let _ = writeln!(told, "{}\n", support::state(&observed));
        }
    }
    told
}
