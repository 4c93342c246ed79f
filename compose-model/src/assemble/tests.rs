use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::files::MemoryFiles;

/// Paths and texts of files.
type Texts = [(&'static str, &'static str)];

fn show(node: &Node, out: &mut String) {
    match &node.value {
        Value::Scalar(scalar) if scalar.is_null() => out.push('~'),
        Value::Scalar(scalar) => out.push_str(&scalar.to_text()),
        Value::Sequence(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                show(item, out);
            }
            out.push(']');
        }
        Value::Mapping(mapping) => {
            out.push('{');
            for (index, (key, entry)) in mapping.iter().enumerate() {
                write!(out, "{}{key}: ", if index > 0 { ", " } else { "" }).unwrap();
                show(&entry.value, out);
            }
            out.push('}');
        }
    }
}

fn options(files: &[&str]) -> Options {
    Options {
        files: files.iter().map(|file| (*file).to_owned()).collect(),
        current_directory: "/p".to_owned(),
        environment: BTreeMap::from([("HOST".to_owned(), "here".to_owned())]),
        ..Options::default()
    }
}

fn memory(files: &[(&str, &str)]) -> MemoryFiles {
    files.iter().fold(MemoryFiles::new(), |memory, (path, text)| memory.with(path, *text))
}

/// Name, tree, then messages with their places.
fn run(options: &Options, files: &[(&str, &str)]) -> String {
    let assembled = assemble(options, &memory(files), &NoRemote, &NoShape);
    let mut out = String::new();
    if !assembled.diagnostics.has_errors() {
        show(&assembled.tree, &mut out);
    }
    for item in assembled.diagnostics.iter() {
        let place = item.span.map(|span| assembled.sources.describe(span) + " ").unwrap_or_default();
        write!(out, "\n{place}{}", item.message).unwrap();
    }
    out
}

#[test]
fn files_are_found_named_and_merged() {
    let base = "services: {a: {image: x}}";
    let cases: &[(Options, &Texts, &str)] = &[
        (options(&[]), &[("/p/compose.yml", base)], "{services: {a: {image: x}}, name: p}"),
        (
            options(&[]),
            &[("/p/docker-compose.yml", base), ("/p/compose.override.yaml", "services: {a: {tty: true}}")],
            "{services: {a: {image: x, tty: true}}, name: p}",
        ),
        (
            Options { current_directory: "/p/sub/deep".to_owned(), ..options(&[]) },
            &[("/p/compose.yaml", base), ("/p/.env", "COMPOSE_PROJECT_NAME=up")],
            "{services: {a: {image: x}}, name: up}",
        ),
        (
            options(&[]),
            &[("/p/.env", "COMPOSE_FILE=x.yaml:y.yaml"), ("/p/x.yaml", base), ("/p/y.yaml", "name: My.Name_${HOST}")],
            "{services: {a: {image: x}}, name: myname_here}",
        ),
        (
            options(&[]),
            &[("/p/compose.yaml", base), ("/p/compose.yml", base)],
            "{services: {a: {image: x}}, name: p}\nFound multiple config files with supported names: \
             /p/compose.yaml, /p/compose.yml\nUsing /p/compose.yaml",
        ),
        (options(&[]), &[], "\nno configuration file provided: not found"),
        (
            options(&["none.yaml"]),
            &[],
            "\ncompose file \"/p/none.yaml\" is invalid: open /p/none.yaml: no such file or directory",
        ),
        (
            Options { project_name: Some("Bad".to_owned()), ..options(&[]) },
            &[("/p/compose.yaml", base)],
            "\ninvalid project name \"Bad\": must consist only of lowercase alphanumeric characters, hyphens, and \
             underscores as well as start with a letter or number",
        ),
        (
            Options { stdin: Some(b"services: {a: {image: $HOST}}".to_vec()), ..options(&["-"]) },
            &[],
            "{services: {a: {image: here}}, name: p}",
        ),
        (
            Options { env_files: vec!["e1".to_owned(), "e2".to_owned()], ..options(&["f.yaml"]) },
            &[("/p/f.yaml", "services: {a: {image: $A$B$HOST}}"), ("/p/e1", "A=1\nB=2\nHOST=no"), ("/p/e2", "B=${A}3")],
            "{services: {a: {image: 113here}}, name: p}",
        ),
        (
            Options { env_files: vec!["none".to_owned()], ..options(&["f.yaml"]) },
            &[("/p/f.yaml", base)],
            "\ncouldn't find env file: /p/none",
        ),
        (options(&["f.yaml"]), &[("/p/f.yaml", "# nothing\n")], "\nempty compose file"),
        (options(&["f.yaml"]), &[("/p/f.yaml", "- a\n")], "\n/p/f.yaml:1:1 top-level object must be a mapping"),
        (
            options(&["f.yaml"]),
            &[("/p/f.yaml", "version: '3'\nservices: {a: {image: x}}\n---\nservices: {b: {image: y}}")],
            "{services: {a: {image: x}, b: {image: y}}, name: p}\n/p/f.yaml:1:1 /p/f.yaml: the attribute `version` \
             is obsolete, it will be ignored, please remove it to avoid potential confusion",
        ),
        (
            options(&["a.yaml", "b.yaml"]),
            &[("/p/a.yaml", "services: {a: {image: \"${X:?no}\"}}"), ("/p/b.yaml", "services: {b: {tty: $Q}}")],
            "\n/p/a.yaml:1:24 error while interpolating services.a.image: required variable X is missing a value: no\
             \n/p/b.yaml:1:21 The \"Q\" variable is not set. Defaulting to a blank string.\
             \n/p/b.yaml:1:21 error while interpolating services.b.tty: failed to cast to expected type: invalid boolean: ",
        ),
    ];
    for (options, files, expected) in cases {
        assert_eq!(run(options, files), *expected, "{files:?}");
    }
}

#[test]
fn services_extend_others() {
    let cases: &[(&Texts, &str)] = &[
        (
            &[("/p/f.yaml", "services: {a: {extends: b, tty: true}, b: {image: x, labels: [k=v]}}")],
            "{services: {a: {image: x, labels: [k=v], tty: true}, b: {image: x, labels: [k=v]}}, name: p}",
        ),
        (
            &[
                ("/p/f.yaml", "services: {a: {extends: {file: sub/o.yaml, service: o}}}"),
                ("/p/sub/o.yaml", "services: {o: {extends: {service: p}, build: {context: .}}, p: {image: y}}"),
            ],
            "{services: {a: {image: y, build: {context: /p/sub}}}, name: p}",
        ),
        (
            &[
                ("/p/f.yaml", "services: {a: {extends: {file: s/o.yaml, service: o}}}"),
                ("/p/s/o.yaml", "services: {o: {extends: {file: ../t/q.yaml, service: q}}}"),
                ("/p/t/q.yaml", "services: {q: {build: {context: ./c}}}"),
            ],
            "{services: {a: {build: {context: /p/t/c}}}, name: p}",
        ),
        (
            &[("/p/f.yaml", "services: {a: {extends: b}, b: {extends: a}}")],
            "\n/p/f.yaml:1:25 Circular reference:\n  a in /p/f.yaml\n  extends b in /p/f.yaml\n  extends a in /p/f.yaml",
        ),
        (
            &[("/p/f.yaml", "services: {a: {extends: wbe}, web: {}}")],
            "\n/p/f.yaml:1:25 cannot extend service \"a\" in /p/f.yaml: service \"wbe\" not found",
        ),
        (
            &[
                ("/p/f.yaml", "services: {a: {extends: {file: o.yaml, service: n}}}"),
                ("/p/o.yaml", "services: {o: {}}"),
            ],
            "\n/p/f.yaml:1:25 cannot extend service \"a\" in /p/f.yaml: service \"n\" not found in o.yaml",
        ),
        (
            &[("/p/f.yaml", "services: {a: {extends: {file: o.yaml, service: n}}}")],
            "\n/p/f.yaml:1:25 open /p/o.yaml: no such file or directory",
        ),
        (
            &[("/p/f.yaml", "services: {a: {extends: b, ports: !reset []}, b: {image: x, ports: ['80']}}")],
            "{services: {a: {image: x}, b: {image: x, ports: [80]}}, name: p}",
        ),
    ];
    for (files, expected) in cases {
        assert_eq!(run(&options(&["f.yaml"]), files), *expected, "{files:?}");
    }
}

#[test]
fn projects_include_others() {
    let cases: &[(&Texts, &str)] = &[
        (
            &[
                ("/p/f.yaml", "include: [sub/f.yaml]\nservices: {s: {tty: true}, a: {extends: s}}"),
                ("/p/sub/f.yaml", "name: other\ninclude: [n/f.yaml]\nservices: {s: {image: $V, build: {context: .}}}"),
                ("/p/sub/.env", "V=sub\nHOST=no"),
                ("/p/sub/n/f.yaml", "services: {n: {environment: [HOST, V, Q], build: {context: .}}}"),
            ],
            "{services: {s: {image: sub, build: {context: /p/sub}, tty: true}, \
             a: {image: sub, build: {context: /p/sub}, tty: true}, \
             n: {environment: [HOST=here, V=sub, Q], build: {context: /p/sub/n}}}, name: p}",
        ),
        (
            &[
                ("/p/f.yaml", "include: [{path: [a/x.yaml, b/y.yaml], project_directory: c, env_file: e}]"),
                ("/p/a/x.yaml", "services: {s: {image: $V, build: {context: .}}}"),
                ("/p/b/y.yaml", "services: {s: {image: y$V}}"),
                ("/p/e", "V=1"),
                ("/p/c/there", ""),
            ],
            "{services: {s: {image: y1, build: {context: /p/c}}}, name: p}",
        ),
        (
            &[("/p/f.yaml", "include: [g.yaml]"), ("/p/g.yaml", "include: [f.yaml]\nservices: {a: {}}")],
            "\n/p/g.yaml:1:11 include cycle detected:\n/p/f.yaml\n include /p/g.yaml\n include /p/f.yaml",
        ),
        (&[("/p/f.yaml", "include: [none.yaml]")], "\n/p/f.yaml:1:11 open /p/none.yaml: no such file or directory"),
        (
            &[("/p/f.yaml", "include: ['oci://x/y']")],
            "\n/p/f.yaml:1:11 cannot load oci://x/y: it is on another machine, and nothing was given that fetches it",
        ),
        (&[("/p/f.yaml", "include: [{paht: x}]")], "\n/p/f.yaml:1:12 include additional properties 'paht' not allowed"),
    ];
    for (files, expected) in cases {
        assert_eq!(run(&options(&["f.yaml"]), files), *expected, "{files:?}");
    }
}

#[test]
fn a_value_remembers_the_way_it_came() {
    let files = memory(&[
        ("/p/f.yaml", "include: [g.yaml]"),
        ("/p/g.yaml", "services: {a: {extends: b}, b: {image: $V}}"),
        ("/p/.env", "V=x"),
    ]);
    let assembled = assemble(&options(&["f.yaml"]), &files, &NoRemote, &NoShape);
    let image =
        assembled.tree.get("services").and_then(|node| node.get("a")).and_then(|node| node.get("image")).unwrap();
    let steps: Vec<String> = image
        .origin
        .steps()
        .map(|step| format!("{:?} {}", step.kind, assembled.sources.describe(step.span.unwrap())))
        .collect();
    assert_eq!(assembled.sources.describe(image.span()), "/p/g.yaml:1:40");
    assert_eq!(steps, ["Include /p/f.yaml:1:11", "Extends /p/g.yaml:1:25", "Variable(\"V\") /p/.env:1:1"]);
}

#[test]
fn a_variable_that_is_missing_hides_no_other_mistake() {
    let text = "services:\n  a:\n    image: ${X?no}\n    prots: []\n    ports: [\"${Y?no}\", \"80:x\"]\n";
    let files = memory(&[("/p/f.yaml", text)]);
    let shape = crate::defaults::SpecificationShape::default();
    let assembled = assemble(&options(&["f.yaml"]), &files, &NoRemote, &shape);
    let shown: Vec<String> = assembled
        .diagnostics
        .errors()
        .map(|item| format!("{} {}", assembled.sources.describe(item.span.unwrap()), item.code))
        .collect();
    let expected = [
        "/p/f.yaml:3:12 required-variable",
        "/p/f.yaml:5:14 required-variable",
        "/p/f.yaml:4:5 unknown-attribute",
        "/p/f.yaml:5:24 port",
    ];
    assert_eq!(shown, expected);
}

proptest! {
    #[test]
    fn no_input_panics_and_every_span_lies_inside(
        one in "(services|a|x|: |\n  |\n|- |\\[|\\]|\\{|\\}|extends|include|f.yaml|\\$\\{V:-|image|ports|'|!reset |&a |\\*a|<<){0,24}",
        two in "(services: \\{a: \\{)?(image: x|ports: \\['80', \\$V\\]|extends: a|, |environment: \\[A\\]){0,5}(\\}\\})?",
    ) {
        let files = memory(&[("/p/f.yaml", &one), ("/p/g.yaml", &two), ("/p/.env", &one)]);
        let assembled = assemble(&options(&["f.yaml", "g.yaml"]), &files, &NoRemote, &NoShape);
        for item in assembled.diagnostics.iter() {
            let spans = item.span.into_iter().chain(item.labels.iter().map(|label| label.span));
            for span in spans {
                let text = assembled.sources.get(span.source).unwrap().text();
                prop_assert!(text.get(span.range()).is_some());
            }
            prop_assert!(!item.render(&assembled.sources, true).is_empty());
        }
    }
}
