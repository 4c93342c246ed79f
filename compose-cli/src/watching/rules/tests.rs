//! Rules as text in, work as text out.

use std::fmt::Write as _;

use compose_model::project::Develop;

use super::*;

fn project(rules: Vec<WatchRule>, context: Option<&Path>) -> Project {
    let mut project = Project::default();
    let build = context.map(|context| Build { context: context.display().to_string(), ..Build::default() });
    let service = Service {
        name: "web".into(),
        build,
        develop: Some(Develop { watch: rules, ..Develop::default() }),
        ..Service::default()
    };
    project.services.insert("web".into(), service);
    project
}

fn rule(path: &str, action: &str, target: &str) -> WatchRule {
    WatchRule { path: path.into(), action: action.into(), target: target.into(), ..WatchRule::default() }
}

/// `-path` for a removed one.
fn changes(paths: &[&str]) -> Changes {
    let mut changes = Changes::default();
    for path in paths {
        match path.strip_prefix('-') {
            Some(path) => changes.removed.insert(path.into()),
            None => changes.written.insert((*path).into()),
        };
    }
    changes
}

fn shown(rules: &[Rule], paths: &[&str]) -> String {
    let work = work(rules, &changes(paths), None);
    let mut out = String::new();
    for (service, files) in &work.sync {
        for path in &files.remove {
            let _ = write!(out, "{service} -{path}; ");
        }
        for (to, from) in &files.copy {
            let _ = write!(out, "{service} {to}<{}; ", from.display());
        }
    }
    for (verb, services) in [("rebuild", &work.rebuild), ("restart", &work.restart)] {
        for service in services {
            let _ = write!(out, "{verb} {service}; ");
        }
    }
    for index in &work.execute {
        let _ = write!(out, "execute {index}; ");
    }
    out.trim_end_matches("; ").to_owned()
}

fn of(rules: Vec<WatchRule>) -> Vec<Rule> {
    of_project(&project(rules, None), |_| {}).expect("rules")
}

#[test]
fn each_action_makes_its_own_work() {
    let table: &[(&str, &str, &[&str], &str)] = &[
        ("sync", "/app", &["/s/a"], "web /app/a</s/a"),
        ("sync", "/app/", &["/s/d/e"], "web /app/d/e</s/d/e"),
        ("sync", "app", &["/s/a"], "web /app/a</s/a"),
        ("sync", "/", &["/s/a", "-/s/b"], "web -/b; web /a</s/a"),
        ("sync", "/app", &["-/s/a", "/s/a"], "web -/app/a; web /app/a</s/a"),
        ("sync", "/app", &["/other/a", "/sibling"], ""),
        ("restart", "", &["/s/a", "/s/b"], "restart web"),
        ("sync+restart", "/app", &["/s/a"], "web /app/a</s/a; restart web"),
        ("sync+exec", "/app", &["/s/a", "/s/b"], "web /app/a</s/a; web /app/b</s/b; execute 0"),
    ];
    for (action, target, paths, expected) in table {
        assert_eq!(shown(&of(vec![rule("/s", action, target)]), paths), *expected, "{action} {target} {paths:?}");
    }
    // A file; and the whole file system is never removed.
    assert_eq!(shown(&of(vec![rule("/s/one", "sync", "/conf/one")]), &["/s/one"]), "web /conf/one</s/one");
    assert_eq!(shown(&of(vec![rule("/s/one", "sync", "/")]), &["-/s/one"]), "");
}

#[test]
fn ignored_and_not_included_paths_are_left_alone() {
    let rules = of(vec![WatchRule {
        ignore: vec!["*.foo".into(), "node_modules/".into(), "sub/x".into()],
        include: vec!["**/*.js".into(), "node_modules".into(), "sub".into(), "*.foo".into(), ".git".into()],
        ..rule("/s", "sync", "/app")
    }]);
    let table: &[(&str, bool)] = &[
        ("/s/a.js", true),
        ("/s/deep/a.js", true),
        ("/s/a.txt", false),
        ("/s/a.foo", false),
        ("/s/node_modules/a.js", false),
        ("/s/sub/x", false),
        ("/s/sub/y", true),
        ("/s/.git/config.js", false),
        ("/s/a.js~", false),
        ("/s/.a.js.swp", false),
    ];
    for (path, wanted) in table {
        assert_eq!(!shown(&rules, &[path]).is_empty(), *wanted, "{path}");
    }
    assert!(skip(&rules, Path::new("/s/node_modules")) && skip(&rules, Path::new("/s/.git")));
    assert!(!skip(&rules, Path::new("/s")) && !skip(&rules, Path::new("/s/sub")) && !skip(&rules, Path::new("/")));
}

#[test]
fn what_the_image_does_not_hold_is_not_copied_into_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    std::fs::write(root.join(".dockerignore"), "out\n").expect("written");
    let path = root.display().to_string();
    let project = project(vec![rule(&path, "sync", "/app"), rule(&path, "rebuild", "")], Some(root));
    let rules = of_project(&project, |_| {}).expect("rules");
    assert_eq!(shown(&rules, &[&format!("{path}/out/a")]), "");
    assert_eq!(shown(&rules, &[&format!("{path}/in")]), format!("web /app/in<{path}/in; rebuild web"));
    assert!(skip(&rules, &root.join("out")));
    // The Dockerfile's own patterns come first.
    std::fs::write(root.join("Dockerfile.dockerignore"), "in\n").expect("written");
    let rules = of_project(&project, |_| {}).expect("rules");
    assert_eq!(shown(&rules, &[&format!("{path}/in")]), "");
}

#[test]
fn what_cannot_be_followed_is_refused_or_told() {
    let error = of_project(&project(vec![rule("/s", "rebuild", "")], None), |_| {}).expect_err("refused");
    assert_eq!(error.to_string(), "can't watch service \"web\" with action rebuild without a build context");
    let mut project = project(vec![rule("/s/in", "sync", "/app")], None);
    let mount = compose_model::project::Mount { kind: "bind".into(), source: "/s".into(), ..Default::default() };
    project.services.values_mut().for_each(|service| service.volumes.push(mount.clone()));
    let mut warnings = Vec::new();
    let rules = of_project(&project, |warning| warnings.push(warning)).expect("rules");
    assert!(rules.is_empty());
    assert_eq!(warnings, ["path '/s/in' also declared by a bind mount volume, this path won't be monitored!\n"]);
}

#[test]
fn everything_of_a_rule_is_copied_at_the_beginning() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["a", "d/b", "d/left.out", ".git/c"] {
        std::fs::create_dir_all(folder.path().join(name).parent().expect("a parent")).expect("made");
        std::fs::write(folder.path().join(name), "").expect("written");
    }
    let path = folder.path().display().to_string();
    let rules = of(vec![WatchRule { ignore: vec!["**/*.out".into()], ..rule(&path, "sync", "/app") }]);
    let files = everything(&rules[0]);
    assert_eq!(files.copy.keys().collect::<Vec<_>>(), ["/app/a", "/app/d/b"]);
    assert_eq!(files.count(), 2);
}
