use super::{Finding, RULES, find_rule, lint};
use crate::assemble::{NoRemote, Options};
use crate::files::MemoryFiles;
use crate::load::{LoadOptions, LoadedModel, load_model};

fn model(text: &str) -> LoadedModel {
    let files = MemoryFiles::new().with("/p/compose.yaml", text);
    let input = Options { current_directory: "/p".to_owned(), ..Options::default() };
    let options = LoadOptions { input, no_normalise: true, ..LoadOptions::default() };
    match load_model(&options, &files, &NoRemote) {
        Ok(model) => model,
        Err(error) => panic!("{}", error.render(false)),
    }
}

fn codes(text: &str) -> Vec<&'static str> {
    lint(&model(text), &[]).iter().map(|finding| finding.rule.code).collect()
}

fn shown(text: &str) -> String {
    let model = model(text);
    let shown: Vec<String> =
        lint(&model, &[]).iter().map(|finding: &Finding| finding.render(&model.sources, false)).collect();
    shown.join("\n\n")
}

#[test]
fn every_rule_finds_what_it_is_about_and_nothing_beside_it() {
    let cases: [(&str, &[&str]); 52] = [
        ("services: {a: {image: 'x:1', ports: [22:22]}}", &["C001"]),
        ("services: {a: {image: 'x:1', ports: ['22:22', 8080:80, '70:22', 23:70]}}", &[]),
        ("services: {a: {image: 'x:1', restart: sometimes}}", &["C002"]),
        ("services: {a: {image: 'x:1', restart: no}, b: {image: 'x:1', restart: 'on-failure:3'}}", &[]),
        ("services: {a: {image: 'x:1', restart: 'on-failure:many'}}", &["C002"]),
        ("services: {a: {image: 'x:1', ports: ['5432:5432']}}", &["C003"]),
        ("services: {a: {image: 'x:1', ports: [{target: 6379, published: 1, host_ip: 0.0.0.0}]}}", &["C003"]),
        ("services: {a: {image: 'x:1', ports: ['127.0.0.1:5432:5432', 5432, '80:80']}}", &[]),
        ("services: {a: {image: x}}", &["C004"]),
        ("services: {a: {image: 'host:5000/x:latest'}}", &["C004"]),
        ("services: {a: {image: 'host:5000/x'}}", &["C004"]),
        ("services: {a: {image: x, build: .}, b: {image: 'x@sha256:aa'}, c: {image: 'x:${TAG-1}'}}", &[]),
        ("services: {a: {image: 'x:1', environment: {DB_PASSWORD: hunter2}}}", &["C005"]),
        ("services: {a: {image: 'x:1', environment: [API_TOKEN=abc]}}", &["C005"]),
        ("services: {a: {build: {context: ., args: {SECRET: abc}}}}", &["C005"]),
        (
            "services: {a: {image: 'x:1', environment: {PASSWORD: '${P-}', ALLOW_EMPTY_PASSWORD: 'yes', B_PASSWORD: }}}",
            &[],
        ),
        ("services: {a: {image: 'x:1', environment: {PASSWORD_FILE: /run/secrets/p, TOKEN_URL: x}}}", &[]),
        ("services: {a: {image: 'x:1', volumes: [v:/v]}}", &["C006"]),
        ("services: {a: {image: 'x:1', volumes: [vv:/v, 'C:\\x:/y', /anonymous]}}\nvolumes: {vv: }", &[]),
        ("version: '3'\nservices: {a: {image: 'x:1'}}", &["C007"]),
        ("services: {a: {image: 'x:1', networks: [n]}}\nnetworks: {n: {external: {name: x}}}", &["C008"]),
        ("services: {a: {image: 'x:1', depends_on: {b: {condition: service_healthy}}}, b: {image: 'x:1'}}", &["C009"]),
        (
            "services: {a: {image: 'x:1', depends_on: {b: {condition: service_healthy}}}, b: {image: 'x:1', healthcheck: {disable: true}}}",
            &["C009"],
        ),
        (
            "services: {a: {image: 'x:1', depends_on: {b: {condition: service_healthy}}}, b: {image: 'x:1', healthcheck: {test: x}}}",
            &[],
        ),
        (
            "services: {a: {image: 'x:1', depends_on: {b: {condition: service_healthy}}}, b: {image: 'x:1', healthcheck: {interval: 1s}}}",
            &[],
        ),
        ("services: {a: {image: 'x:1', privileged: true}}", &["C010"]),
        ("services: {a: {image: 'x:1', privileged: false}}", &[]),
        ("services: {a: {image: 'x:1', volumes: ['/var/run/docker.sock:/var/run/docker.sock:ro']}}", &["C011"]),
        ("services: {a: {image: 'x:1'}}\nnetworks: {n: }\nvolumes: {v: }", &["C012", "C012"]),
        ("services: {a: {image: 'x:1', secrets: [s]}}\nsecrets: {s: {file: f}, t: {file: f}}", &["C012"]),
        (
            "services: {a: {build: {context: ., secrets: [s]}}}\nsecrets: {s: {file: f}}\nnetworks: {default: {name: n}}",
            &[],
        ),
        ("services: {a: {image: 'x:1', ports: ['80:80']}, b: {image: 'x:1', ports: ['80:81']}}", &["C013"]),
        ("services: {a: {image: 'x:1', ports: ['80:80', '80:81']}}", &["C013"]),
        ("services: {a: {image: 'x:1', ports: ['80:80', '80:80/udp']}, b: {image: 'x:1', ports: ['81:80']}}", &[]),
        (
            "services: {a: {image: 'x:1', ports: ['127.0.0.1:80:80']}, b: {image: 'x:1', ports: ['127.0.0.2:80:80']}}",
            &[],
        ),
        ("services: {a: {image: 'x:1', ports: ['80:80']}, b: {image: 'x:1', profiles: [p], ports: ['80:80']}}", &[]),
        ("services: {a: {image: 'x:1', environment: {MODE: 010}}}", &["C014"]),
        ("services: {a: {image: 'x:1', environment: {V: 1.10}}}", &["C014"]),
        ("services: {a: {image: 'x:1', labels: {n: 1_000}}}", &["C014"]),
        ("services: {a: {image: 'x:1', environment: {A: 8, B: no, C: true, D: '010', E: 1.5, F: , G: [x]}}}", &[]),
        ("services: {a: {image: 'x:1', command: echo $HOME_OF_NOBODY}}", &["C015"]),
        ("services: {a: {image: 'x:1', links: [b]}, b: {image: 'x:1'}}", &["C016"]),
        ("services: {a: {image: 'x:1', network_mode: host, ports: ['80:80']}}", &["C017"]),
        ("services: {a: {image: 'x:1', network_mode: bridge, ports: ['80:80']}}", &[]),
        ("services: {a: {image: 'x:1', scale: 2, ports: ['80:80']}}", &["C018"]),
        ("services: {a: {image: 'x:1', deploy: {replicas: 2}, ports: ['80-81:80', 80]}}", &[]),
        (
            "services: {a: {image: 'x:1', depends_on: {b: {condition: service_completed_successfully}}}, b: {image: 'x:1', restart: always}}",
            &["C019"],
        ),
        ("services: {a: {image: 'x:1', privileged: 'yes'}}", &["C010", "C022"]),
        ("services: {a: {image: x, x-lint-ignore: [unpinned-image]}, b: {image: 'x:1'}}", &[]),
        ("services: {a: {image: x, x-lint-ignore: c004}, b: {image: x}}", &["C004"]),
        ("x-lint-ignore: [C004]\nservices: {a: {image: x}, b: {image: x}}", &[]),
        ("x-lint-ignore: [C004, unpined-image, 7]\nservices: {a: {image: x}}", &["C000", "C000"]),
    ];
    for (text, expected) in cases {
        // The one value that YAML reads as a list is refused by the schema, not looked at here.
        let text = text.replace(", G: [x]", "");
        assert_eq!(codes(&text), expected, "{text}");
    }
}

#[test]
fn a_finding_shows_its_line_and_what_to_do() {
    let text = "services:\n  db:\n    image: postgres:17\n    ports:\n      - \"5432:5432\"\n    restart: allways\n";
    insta::assert_snapshot!(shown(text));
}

#[test]
fn a_secret_is_never_shown() {
    let text =
        "services:\n  db:\n    image: x:1\n    environment:\n      DB_PASSWORD: 0755123\n      OTHER_SECRET: hunter2\n";
    let shown = shown(text);
    assert!(!shown.contains("0755123") && !shown.contains("hunter2"), "{shown}");
    insta::assert_snapshot!(shown);
}

#[test]
fn a_line_with_a_secret_is_not_shown_for_another_finding() {
    let shown = shown("services: {a: {image: nginx, environment: {PASSWORD: hunter2}}}");
    assert!(shown.contains("C004") && !shown.contains("hunter2"), "{shown}");
}

#[test]
fn a_line_that_an_anchor_spreads_is_one_finding() {
    let text = "x-common: &c {image: nginx}\nservices: {a: {<<: *c}, b: {<<: *c}}";
    assert_eq!(codes(text), ["C004"]);
}

#[test]
fn codes_are_in_order_and_names_are_different() {
    for (index, rule) in RULES.iter().enumerate() {
        assert_eq!(rule.code, format!("C{index:03}"));
        assert_eq!(find_rule(rule.name), Some(rule), "the first rule of a name is the only one");
        assert_eq!(find_rule(rule.code), Some(rule));
    }
}

#[test]
fn the_page_about_findings_lists_exactly_the_rules() {
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/lints.md")).expect("docs/lints.md");
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| C") && !line.starts_with("| Code")).collect();
    let expected: Vec<String> =
        RULES.iter().map(|rule| format!("| {} | `{}` | {} |", rule.code, rule.name, rule.about)).collect();
    assert_eq!(rows, expected);
}
