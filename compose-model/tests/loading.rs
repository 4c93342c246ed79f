//! From text to text: what a project means, and how a wrong one is refused.

use compose_model::assemble::Options;
use compose_model::files::MemoryFiles;
use compose_model::{LoadOptions, Loaded, canonical, load};

fn options() -> LoadOptions {
    let environment = [("HOME", "/home/user"), ("SET", "value")];
    let input = Options {
        current_directory: "/p".to_owned(),
        environment: environment.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        ..Options::default()
    };
    LoadOptions { input, ..LoadOptions::default() }
}

fn files(text: &str) -> MemoryFiles {
    MemoryFiles::new().with("/p/compose.yaml", text)
}

fn loaded(text: &str) -> Loaded {
    match load(&options(), &files(text)) {
        Ok(loaded) => loaded,
        Err(error) => panic!("{}", error.render(false)),
    }
}

fn refused(text: &str) -> String {
    match load(&options(), &files(text)) {
        Ok(loaded) => panic!("accepted: {}", canonical::yaml(&loaded.project)),
        Err(error) => error.to_string(),
    }
}

#[test]
fn short_forms_come_out_long() {
    let text = "
services:
  web:
    build: .
    command: sh -c \"a b\"
    ports: ['127.0.0.1:8080:80', '9000-9001:90-91/udp']
    volumes: ['./data:/data:ro', 'cache:/cache', '/anon/']
    environment: [SET, UNSET, A=1]
    depends_on: [db]
    healthcheck: {test: curl localhost, interval: 90s}
    mem_limit: 1g
    gpus: all
    x-b: 1
    x-a: {z: 1, y: 2}
  db: {image: 'db:1', profiles: []}
volumes: {cache: , unused: }
x-top: [1]
";
    insta::assert_snapshot!(canonical::yaml(&loaded(text).project));
}

#[test]
fn json_keeps_nulls_and_drops_nested_extensions() {
    let text = "services: {a: {image: x, network_mode: none, x-a: 1, deploy: {labels: [a=b]}}}\nx-top: {b: 1}\n";
    insta::assert_snapshot!(canonical::json(&loaded(text).project));
}

#[test]
fn a_contradiction_or_a_missing_reference_is_refused_in_the_words_of_the_reference() {
    for (services, expected) in [
        ("{a: {}}", "service \"a\" has neither an image nor a build context specified: invalid compose project"),
        ("{a: {image: x, networks: [n]}}", "service \"a\" refers to undefined network n: invalid compose project"),
        ("{a: {image: x, volumes: ['vv:/v']}}", "service \"a\" refers to undefined volume vv: invalid compose project"),
        ("{a: {image: x, secrets: [s]}}", "service \"a\" refers to undefined secret s: invalid compose project"),
        ("{a: {image: x, configs: [c]}}", "service \"a\" refers to undefined config c: invalid compose project"),
        ("{a: {image: x, models: [m]}}", "service \"a\" refers to undefined model m: invalid compose project"),
        (
            "{a: {image: x, depends_on: [b]}}",
            "service \"a\" depends on undefined service \"b\": invalid compose project",
        ),
        ("{a: {image: x, links: [b]}}", "service \"a\" depends on undefined service \"b\": invalid compose project"),
        ("{a: {image: x, depends_on: [b]}, b: {image: x, depends_on: [a]}}", "dependency cycle detected: a -> b -> a"),
        (
            "{a: {image: x, network_mode: host, networks: [default]}}",
            "service a declares mutually exclusive `network_mode` and `networks`: invalid compose project",
        ),
        (
            "{a: {image: x, scale: 2, deploy: {replicas: 3}}}",
            "services.a: can't set distinct values on 'scale' and 'deploy.replicas': invalid compose project",
        ),
        (
            "{a: {image: x, container_name: cc, scale: 2}}",
            "services.scale: can't set container_name and cc as container name must be unique: invalid compose project",
        ),
        (
            "{a: {image: x, healthcheck: {test: [foo]}}}",
            "healthcheck.test must start either by \"CMD\", \"CMD-SHELL\" or \"NONE\"",
        ),
        (
            "{a: {image: x, tmpfs: /x, volumes: [/x]}}",
            "services.a.volumes[0]: target /x already mounted as services.a.tmpfs[0]",
        ),
        (
            "{a: {image: x, develop: {watch: [{path: ., action: sync}]}}}",
            "services.a.develop.watch: target is required for non-rebuild actions: invalid compose project",
        ),
        (
            "{a: {image: x, gpus: [{count: 1, device_ids: ['1']}]}}",
            "services.a.gpus.[]: \"count\" and \"device_ids\" attributes are exclusive",
        ),
        ("{a: {image: x, env_file: none}}", "env file /p/none not found: stat /p/none: no such file or directory"),
    ] {
        assert_eq!(refused(&format!("services: {services}")), expected, "{services}");
    }
}

#[test]
fn the_schema_names_the_culprit() {
    for (services, expected) in [
        ("{a: {image: 5}}", "services.a.image must be a string"),
        ("{a: {imgae: x}}", "services.a.imgae false schema"),
        ("{a: {image: x, healthcheck: {tset: x}}}", "services.a.healthcheck additional properties 'tset' not allowed"),
        ("{a: {image: x, build: }}", "services.a.build must be a string"),
        ("{a: {image: x, command: 5}}", "services.a.command must be a null"),
        ("{a: {image: x, tty: 1}}", "services.a.tty must be a boolean or string"),
        (
            "{a: {image: x, environment: {A: [1]}}}",
            "services.a.environment.A must be a boolean, null, number or string",
        ),
        ("{a: {image: x, cgroup: foo}}", "services.a.cgroup value must be one of 'host', 'private'"),
        ("{a: {image: x, depends_on: [b, b]}}", "services.a.depends_on items at 0 and 1 are equal"),
        ("{a: {image: x, depends_on: {b: {}}}}", "services.a.depends_on.b missing property 'condition'"),
        ("{'a b': {image: x}}", "services additional properties 'a b' not allowed"),
        ("{a: }", "services.a must be a mapping"),
    ] {
        assert_eq!(refused(&format!("services: {services}")), format!("validating /p/compose.yaml: {expected}"));
    }
}

#[test]
fn all_mistakes_are_shown_at_once_with_their_places() {
    let text = "services:\n  a:\n    image: x\n    enviroment: {}\n    prots: []\n  b:\n    image: 5\n";
    let error = load(&options(), &files(text)).unwrap_err();
    insta::assert_snapshot!(error.render(false));
}

#[test]
fn a_profile_a_named_service_and_a_dependency_decide_what_is_kept() {
    let text = "
services:
  a: {image: a, depends_on: [b], networks: [n]}
  b: {image: b, volumes: ['vol:/v']}
  c: {image: c, profiles: [p], depends_on: {a: {condition: service_started, required: false}}}
  d: {image: d, profiles: [q]}
networks: {n: }
volumes: {vol: , other: }
";
    let kept = |profiles: &[&str], services: &[&str]| {
        let mut options = options();
        options.profiles = profiles.iter().map(ToString::to_string).collect();
        options.services = services.iter().map(ToString::to_string).collect();
        match load(&options, &files(text)) {
            Err(error) => error.to_string(),
            Ok(loaded) => {
                let project = loaded.project;
                let names: Vec<&str> = project.services.keys().map(AsRef::as_ref).collect();
                let networks: Vec<&str> = project.networks.keys().map(AsRef::as_ref).collect();
                let volumes: Vec<&str> = project.volumes.keys().map(AsRef::as_ref).collect();
                format!("{} | {} | {}", names.join(" "), networks.join(" "), volumes.join(" "))
            }
        }
    };
    assert_eq!(kept(&[], &[]), "a b | default n | vol");
    assert_eq!(kept(&["p"], &[]), "a b c | default n | vol");
    assert_eq!(kept(&["*"], &[]), "a b c d | default n | vol");
    assert_eq!(kept(&[], &["b"]), "b | default | vol");
    assert_eq!(kept(&[], &["d"]), "d | default | ");
    assert_eq!(kept(&[], &["c"]), "a b c | default n | vol");
    assert_eq!(kept(&[], &["x"]), "no such service: x");
}

#[test]
fn env_files_lie_below_the_environment_and_labels_above_label_files() {
    let files = files(
        "services: {a: {image: x, environment: {A: own}, env_file: [one, {path: none, required: false}, two], labels: {l: own}, label_file: lab}}",
    )
    .with("/p/one", "A=1\nB=1\nC=${A}-${SET}\n")
    .with("/p/two", "B=2\n")
    .with("/p/lab", "l=file\nm=file\n");
    let project = load(&options(), &files).unwrap().project;
    let service = &project.services["a"];
    let environment: Vec<String> =
        service.environment.iter().map(|(name, value)| format!("{name}={}", value.as_deref().unwrap_or("?"))).collect();
    assert_eq!(environment, ["A=own", "B=2", "C=own-value"]);
    assert_eq!(service.labels["l"], "own");
    assert_eq!(service.labels["m"], "file");
    assert!(service.env_file.is_empty());
}

#[test]
fn a_raw_env_file_is_utf_8() {
    let files =
        files("services: {a: {image: x, env_file: [{path: one, format: raw}]}}").with("/p/one", b"A=1\nB=\xE9\n");
    let failed = load(&options(), &files).unwrap_err();
    let messages: Vec<&str> = failed.diagnostics.iter().map(|mistake| mistake.message.as_str()).collect();
    assert_eq!(messages, ["failed to parse env_file /p/one: invalid UTF-8 text in line 2"]);
}

#[test]
fn attributes_know_where_they_were_written() {
    let files = files("services:\n  a:\n    image: x\n    environment:\n      - LOG=debug\n")
        .with("/p/compose.override.yaml", "services:\n  a:\n    user: '5'\n");
    let project = load(&options(), &files).unwrap().project;
    let place = |path: &str| project.origins.nearest(path).map(ToString::to_string).unwrap_or_default();
    assert_eq!(place("services.a.environment.LOG"), "/p/compose.yaml:5");
    assert_eq!(place("services.a.user"), "/p/compose.override.yaml:3");
    assert_eq!(place("services.a.hostname"), place("services.a"));
}

#[test]
fn implied_dependencies_follow_from_links_namespaces_and_volumes() {
    let text = "
services:
  a: {image: x, links: ['b:alias'], network_mode: 'service:c', volumes_from: ['d:ro', 'container:e']}
  b: {image: x}
  c: {image: x}
  d: {image: x}
";
    let project = loaded(text).project;
    let shown: Vec<String> = project.services["a"]
        .depends_on
        .iter()
        .map(|(name, dependency)| format!("{name}:{}:{}", dependency.condition.as_str(), dependency.restart))
        .collect();
    assert_eq!(shown, ["b:service_started:true", "c:service_started:true", "d:service_started:false"]);
}

#[test]
fn what_only_a_swarm_honours_is_warned_about() {
    let text = "services: {a: {image: x, deploy: {mode: global, labels: {}}, ports: [{target: 80, mode: host}]}}";
    let loaded = loaded(text);
    let warnings: Vec<&str> = loaded.diagnostics.warnings().map(|warning| warning.message.as_str()).collect();
    assert_eq!(
        warnings,
        [
            "service \"a\": deploy.labels: deploy.labels are only applied to Swarm services",
            "service \"a\": deploy.mode: deploy.mode is only honored in Swarm mode",
            "service \"a\": ports[80/tcp].mode: ports[].mode: host is only honored by the Swarm routing mesh",
        ]
    );
}
