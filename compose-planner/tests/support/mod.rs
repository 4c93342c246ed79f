//! Text to projects, observations and intents, for planner tests.
//!
//! Files are read by the model's parser and brought to canonical form; names and the default
//! network are filled in here, so that these tests depend on no more of the model than that.

#![allow(dead_code)] // Each test program uses its part.

use std::collections::BTreeMap;
use std::path::Path;

use compose_model::assemble::Options;
use compose_model::diagnostic::Diagnostics;
use compose_model::files::MemoryFiles;
use compose_model::names::ServiceName;
use compose_model::project::{Job, Place, Project, Service};
use compose_model::source::SourceMap;
use compose_model::tree::{Node, Typed, Value};
use compose_model::units::Duration;
use compose_model::{LoadOptions, forms, load, parse};
use compose_planner::intent::{self, BuildPolicy, PullPolicy, Recreate, RemoveImages};
use compose_planner::observed::{Detail, Image, Observed, State};
use compose_planner::{Capabilities, ContentKind, Intent, Plan, check, content_digest, plan, simulate};

/// A project from the text of one file; every image that it names is there unless a story says
/// otherwise.
pub(crate) fn project(yaml: &str) -> Project {
    let mut sources = SourceMap::new();
    let source = sources.add("compose.yaml", yaml);
    let mut diagnostics = Diagnostics::new();
    let mut documents = parse::parse(source, yaml, &mut diagnostics);
    let mut root = documents.remove(0).root;
    forms::canonicalise(&mut root, false, &mut diagnostics);
    assert!(!diagnostics.has_errors(), "the file of the test is wrong: {diagnostics:?}");
    let mut tree = json(&root);
    let mut project = Project {
        name: "shop".into(),
        working_directory: "/shop".to_owned(),
        files: vec!["/shop/compose.yaml".to_owned()],
        ..Project::default()
    };
    origins(&root, "", &sources, &mut project);
    if let Some(name) = tree.get("name").and_then(serde_json::Value::as_str) {
        project.name = name.into();
    }
    let mut section = |name: &str| tree.as_object_mut().and_then(|tree| tree.shift_remove(name)).unwrap_or_default();
    let services = section("services");
    let read = |value: serde_json::Value| -> Service { serde_json::from_value(value).expect("a service") };
    for (name, value) in services.as_object().cloned().unwrap_or_default() {
        let profiles = value.get("profiles").cloned();
        let mut service = read(value);
        service.name = name.as_str().into();
        if service.networks.is_empty() && service.network_mode.is_empty() && service.provider.is_none() {
            service.networks.insert("default".into(), None);
        }
        for hook in &mut service.pre_start {
            hook.service.name = service.name.clone();
        }
        if profiles.is_some() {
            project.disabled_services.insert(service.name.clone(), service);
        } else {
            project.services.insert(service.name.clone(), service);
        }
    }
    for (name, value) in section("jobs").as_object().cloned().unwrap_or_default() {
        let service = read(value);
        let mut job = Job { service, triggers: serde_json::Value::Null };
        job.service.name = name.as_str().into();
        project.jobs.insert(name.as_str().into(), job);
    }
    let fill = |value: serde_json::Value| if value.is_null() { serde_json::json!({}) } else { value };
    let each = |value: serde_json::Value| -> BTreeMap<String, serde_json::Value> {
        value.as_object().cloned().unwrap_or_default().into_iter().map(|(key, value)| (key, fill(value))).collect()
    };
    for (key, value) in each(section("networks")) {
        project.networks.insert(key.as_str().into(), serde_json::from_value(value).expect("a network"));
    }
    for (key, value) in each(section("volumes")) {
        project.volumes.insert(key.as_str().into(), serde_json::from_value(value).expect("a volume"));
    }
    for (key, value) in each(section("secrets")) {
        project.secrets.insert(key.as_str().into(), serde_json::from_value(value).expect("a secret"));
    }
    for (key, value) in each(section("configs")) {
        project.configs.insert(key.as_str().into(), serde_json::from_value(value).expect("a config"));
    }
    if project.services.values().any(|service| service.networks.contains_key("default")) {
        project.networks.entry("default".into()).or_default();
    }
    let name = project.name.clone();
    for (key, network) in &mut project.networks {
        if network.name.is_empty() {
            network.name = if network.external { key.to_string() } else { format!("{name}_{key}") };
        }
    }
    for (key, volume) in &mut project.volumes {
        if volume.name.is_empty() {
            volume.name = if volume.external { key.to_string() } else { format!("{name}_{key}") };
        }
    }
    project
}

/// A file of this repository, loaded as the program loads it. Lines `s/OLD/NEW/` change its text;
/// all other lines are a second file that overrides it.
///
/// # Errors
/// The mistakes of the file, as people read them.
pub(crate) fn example(path: &str, changes: &str) -> Result<Project, String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    let mut text = std::fs::read_to_string(&file).expect("a file of the repository");
    let mut further = String::new();
    for line in changes.lines() {
        match line.strip_prefix("s/").and_then(|line| line.strip_suffix('/')?.split_once('/')) {
            Some((old, new)) => {
                assert!(text.contains(old), "{path} has no {old:?}");
                text = text.replace(old, new);
            }
            None => further.extend([line, "\n"]),
        }
    }
    let place = format!("/{path}");
    let folder = place.rsplit_once('/').map_or("/", |(folder, _)| folder);
    let mut input = Options { files: vec![place.clone()], current_directory: folder.to_owned(), ..Options::default() };
    let mut files = MemoryFiles::new().with(&place, text);
    if !further.is_empty() {
        let override_file = format!("{folder}/override.yaml");
        files = files.with(&override_file, further);
        input.files.push(override_file);
    }
    load(&LoadOptions { input, ..LoadOptions::default() }, &files)
        .map(|loaded| loaded.project)
        .map_err(|error| error.render(false))
}

/// What the host holds: inline contents, and texts that stand for the rest.
pub(crate) fn contents(project: &Project) -> BTreeMap<String, String> {
    let digest = |kind: ContentKind, source: &str, object: &compose_model::project::FileObject| {
        let content = format!("{}{}{}", object.content, object.file, object.environment);
        content_digest(project, kind, source, content.as_bytes(), Some(&[7; 32]))
            .map(|digest| (kind.key(source), digest))
    };
    let configs =
        project.configs.iter().filter_map(|(name, object)| digest(ContentKind::Config, name.as_str(), object));
    let secrets =
        project.secrets.iter().filter_map(|(name, object)| digest(ContentKind::Secret, name.as_str(), object));
    configs.chain(secrets).collect()
}

/// Every image that the project runs, by short name.
pub(crate) fn images(project: &Project) -> Observed {
    let mut observed = Observed { contents: contents(project), ..Observed::default() };
    for service in project.services.values().chain(project.disabled_services.values()) {
        let reference = service.image_reference(&project.name);
        let image = Image { id: format!("sha256:{reference}-first").into(), ..Image::default() };
        observed.images.insert(reference.into(), image);
    }
    observed
}

fn json(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Scalar(scalar) => match &scalar.typed {
            Typed::Null => serde_json::Value::Null,
            Typed::Bool(value) => (*value).into(),
            Typed::Int(value) => (*value).into(),
            Typed::Float(value) => (*value).into(),
            _ => scalar.to_text().to_string().into(),
        },
        Value::Sequence(items) => items.iter().map(json).collect(),
        Value::Mapping(entries) => entries
            .iter()
            .map(|(key, entry)| (key.to_string(), json(&entry.value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
    }
}

fn origins(node: &Node, path: &str, sources: &SourceMap, project: &mut Project) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match &node.value {
        Value::Scalar(_) => {}
        Value::Sequence(items) => {
            for (index, item) in items.iter().enumerate() {
                project.origins.insert(below(&index.to_string()), sources.place(item.span()));
                origins(item, &below(&index.to_string()), sources, project);
            }
        }
        Value::Mapping(entries) => {
            for (key, entry) in entries {
                let place: Place = sources.place(entry.key.span);
                project.origins.insert(below(key), place);
                origins(&entry.value, &below(key), sources, project);
            }
        }
    }
}

/// An intent from words as on the command line.
pub(crate) fn intent(words: &str, project: &Project) -> Intent {
    let mut words = words.split_whitespace();
    let verb = words.next().expect("a verb");
    let mut flags: Vec<(String, String)> = Vec::new();
    let mut services: Vec<ServiceName> = Vec::new();
    for word in words {
        match word.strip_prefix("--") {
            Some(flag) => {
                let (name, value) = flag.split_once('=').unwrap_or((flag, ""));
                flags.push((name.to_owned(), value.to_owned()));
            }
            None => services.push(word.into()),
        }
    }
    let has = |name: &str| flags.iter().any(|(flag, _)| flag == name);
    let value = |name: &str| flags.iter().find(|(flag, _)| flag == name).map(|(_, value)| value.as_str());
    let seconds = |name: &str| value(name).map(|text| Duration::from_seconds(text.parse().expect("seconds")));
    let up = || intent::Up {
        services: services.clone(),
        no_dependencies: has("no-deps"),
        recreate: match (has("force-recreate"), has("no-recreate")) {
            (true, _) => Recreate::Force,
            (_, true) => Recreate::Never,
            _ => Recreate::Diverged,
        },
        recreate_dependencies: match (has("always-recreate-deps"), has("no-recreate")) {
            (true, _) => Recreate::Force,
            (_, true) => Recreate::Never,
            _ => Recreate::Diverged,
        },
        build: match (has("build"), has("no-build")) {
            (true, _) => BuildPolicy::Always,
            (_, true) => BuildPolicy::Never,
            _ => BuildPolicy::Missing,
        },
        pull: value("pull").map(|policy| match policy {
            "always" => PullPolicy::Always,
            "missing" => PullPolicy::Missing,
            "never" => PullPolicy::Never,
            other => panic!("no pull policy {other}"),
        }),
        remove_orphans: has("remove-orphans"),
        ignore_orphans: has("ignore-orphans"),
        renew_anonymous_volumes: has("renew-anon-volumes"),
        scale: flags
            .iter()
            .filter(|(flag, _)| flag == "scale")
            .map(|(_, value)| {
                let (name, count) = value.split_once(':').expect("SERVICE:COUNT");
                (name.into(), count.parse().expect("a count"))
            })
            .collect(),
        timeout: seconds("timeout"),
        wait: has("wait"),
        wait_timeout: seconds("wait-timeout"),
        consent_volumes: flags.iter().filter(|(flag, _)| flag == "consent").map(|(_, value)| value.clone()).collect(),
        images_ready: has("images-ready"),
        rerun_jobs: has("rerun-jobs"),
        keep_completed_jobs: has("keep-completed-jobs"),
        repair_drift: has("repair-drift"),
        all_resources: has("all-resources"),
        now: value("now").map(|text| text.parse().expect("seconds")),
    };
    match verb {
        "up" => Intent::Up(up()),
        "create" => Intent::Create(up()),
        "scale" => Intent::Scale(intent::Scale {
            replicas: services
                .iter()
                .map(|word| {
                    let (name, count) = word.as_str().split_once('=').expect("SERVICE=COUNT");
                    (name.into(), count.parse().expect("a count"))
                })
                .collect(),
            no_dependencies: has("no-deps"),
        }),
        "down" => Intent::Down(intent::Down {
            services,
            volumes: has("volumes"),
            remove_orphans: has("remove-orphans"),
            ignore_orphans: has("ignore-orphans"),
            images: value("rmi").map(|which| if which == "all" { RemoveImages::All } else { RemoveImages::Local }),
            timeout: seconds("timeout"),
        }),
        "start" => Intent::Start(intent::Start { wait: has("wait"), wait_timeout: seconds("wait-timeout"), services }),
        "stop" => Intent::Stop(intent::Stop { timeout: seconds("timeout"), services }),
        "restart" => {
            Intent::Restart(intent::Restart { no_dependencies: has("no-deps"), timeout: seconds("timeout"), services })
        }
        "kill" => Intent::Kill(intent::Kill {
            signal: value("signal").unwrap_or("SIGKILL").to_owned(),
            remove_orphans: has("remove-orphans"),
            services,
        }),
        "rm" => Intent::Remove(intent::Remove { stop: has("stop"), volumes: has("volumes"), services }),
        "pause" => Intent::Pause(intent::Services { services }),
        "unpause" => Intent::Unpause(intent::Services { services }),
        "pull" => Intent::Pull(intent::Pull {
            include_dependencies: has("include-deps"),
            ignore_buildable: has("ignore-buildable"),
            ignore_failures: has("ignore-pull-failures"),
            policy: value("policy")
                .map(|policy| if policy == "missing" { PullPolicy::Missing } else { PullPolicy::Always }),
            services,
        }),
        "push" => Intent::Push(intent::Push {
            include_dependencies: has("include-deps"),
            services,
            ..intent::Push::default()
        }),
        "build" => Intent::Build(intent::Build {
            no_cache: has("no-cache"),
            push: has("push"),
            with_dependencies: has("with-dependencies"),
            services,
            ..intent::Build::default()
        }),
        "run" => {
            let name = services.first().expect("a service");
            let service = project
                .services
                .get(name)
                .or_else(|| project.disabled_services.get(name))
                .or_else(|| project.jobs.get(name).map(|job| &job.service))
                .expect("a service of the project")
                .clone();
            Intent::RunOnce(Box::new(intent::RunOnce {
                service: Service { ports: Vec::new(), ..service },
                name: String::new(),
                slug: value("slug").unwrap_or("0123456789abcdef").repeat(4),
                no_dependencies: has("no-deps"),
                auto_remove: has("rm"),
                use_aliases: has("use-aliases"),
                interactive: false,
                tty: false,
                start: true,
                up: intent::Up { services: Vec::new(), ..up() },
            }))
        }
        other => panic!("no verb {other}"),
    }
}

/// One line of a story that changes the engine behind the planner's back.
pub(crate) fn happen(line: &str, observed: &mut Observed) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let container =
        |observed: &mut Observed, name: &str, change: &mut dyn FnMut(&mut compose_planner::observed::Container)| {
            let found = observed.containers.iter_mut().find(|container| container.name.as_str() == name);
            change(found.unwrap_or_else(|| panic!("no container {name}")));
        };
    match words.as_slice() {
        ["exited", name, code] => container(observed, name, &mut |found| {
            found.state = State::Exited;
            found.exit_code = Some(code.parse().expect("a code"));
        }),
        ["state", name, state] => container(observed, name, &mut |found| {
            found.state = serde_json::from_value((*state).into()).expect("a state");
        }),
        ["gone", name] => observed.containers.retain(|container| container.name.as_str() != *name),
        ["image", name, id] => {
            let image = Image { id: format!("sha256:{id}").into(), ..Image::default() };
            observed.images.insert((*name).into(), image);
        }
        ["no-image", name] => {
            observed.images.remove(*name);
        }
        ["inspected", name, rest @ ..] => container(observed, name, &mut |found| {
            let detail =
                Detail { environment: rest.iter().map(|text| (*text).to_owned()).collect(), ..Detail::default() };
            found.detail = Some(Box::new(detail));
        }),
        ["foreign-labels", name] => container(observed, name, &mut |found| {
            found.groups.clear();
            found.contents = None;
        }),
        ["by-hand", name, attribute, value] => container(observed, name, &mut |found| {
            let detail = found.detail.get_or_insert_default();
            let limits = detail.limits.get_or_insert_default();
            limits.insert((*attribute).to_owned(), (*value).to_owned());
        }),
        ["connected", name, network] => container(observed, name, &mut |found| {
            found.networks.insert((*network).into(), String::new());
        }),
        ["named", name, other] => container(observed, name, &mut |found| found.name = (*other).into()),
        ["content", object, text] => {
            let digest = format!("{text:0>12}");
            let now = observed.contents.get_mut(*object).unwrap_or_else(|| panic!("no {object}"));
            *now = now.split_once(':').map_or_else(|| digest.clone(), |(mark, _)| format!("{mark}:{digest}"));
        }
        ["disconnected", name, network] => container(observed, name, &mut |found| {
            found.networks.remove(*network);
        }),
        ["one-off", name, service, state] => {
            let found = compose_planner::observed::Container {
                id: format!("{name:0>64}").into(),
                name: (*name).into(),
                project: Some("shop".into()),
                service: (*service).into(),
                one_off: true,
                state: serde_json::from_value((*state).into()).expect("a state"),
                ..compose_planner::observed::Container::default()
            };
            observed.containers.push(found);
        }
        ["network", name, project] => {
            let network = compose_planner::observed::Network {
                id: format!("id-of-{name}-{project}"),
                project: (*project != "-").then(|| (*project).into()),
                ..compose_planner::observed::Network::default()
            };
            observed.networks.entry((*name).into()).or_default().push(network);
        }
        ["volume", name, project] => {
            let volume = compose_planner::observed::Volume {
                project: (*project != "-").then(|| (*project).into()),
                ..compose_planner::observed::Volume::default()
            };
            observed.volumes.insert((*name).into(), volume);
        }
        other => panic!("nothing happens by {other:?}"),
    }
}

/// Plans, checks, and fails the test for a plan that breaks a rule.
pub(crate) fn checked(
    project: &Project,
    observed: &Observed,
    intent: &Intent,
    capabilities: &Capabilities,
) -> Result<Plan, compose_planner::PlanError> {
    let made = plan(project, observed, intent, capabilities)?;
    let violations: Vec<String> = check(&made, observed).iter().map(ToString::to_string).collect();
    assert!(violations.is_empty(), "{violations:#?}\n{}", compose_planner::text::text(&made));
    let again = plan(project, observed, intent, capabilities)?;
    assert!(made == again, "equal input gives an equal plan");
    let text = serde_json::to_string(&made).expect("a plan is data");
    let read: Plan = serde_json::from_str(&text).expect("a plan can be read back");
    assert!(made == read, "a plan is read back as it was written");
    Ok(made)
}

/// What is there, in lines.
pub(crate) fn state(observed: &Observed) -> String {
    let mut lines: Vec<String> = observed
        .containers
        .iter()
        .map(|container| {
            let networks: Vec<&str> = container.networks.keys().map(|name| name.as_str()).collect();
            format!("{} {} {}", container.name, container.state.as_str(), networks.join(","))
        })
        .collect();
    lines.extend(observed.networks.iter().map(|(name, all)| format!("network {name} {}", all.len())));
    lines.extend(observed.volumes.keys().map(|name| format!("volume {name}")));
    lines.sort();
    lines.join("\n")
}

/// After all, or the first `steps`, of a plan.
pub(crate) fn after(observed: &Observed, plan: &Plan, steps: usize) -> Observed {
    simulate(observed, plan.steps.iter().take(steps))
}
